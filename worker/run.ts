import { MerchantsFileError } from '../wechatpay/merchants_file.ts';
import { installLog, makeLog } from './log.ts';
import { readSettings, SettingsError } from './settings.ts';
import { type RunningWorker, startWorker } from './worker.ts';

/** `policy-sync worker`: runs until SIGTERM or SIGINT, which let calls under way finish; a second one ends at once. */
export async function runWorker({ promote }: { promote: boolean }): Promise<void> {
  try {
    const settings = readSettings(process.env);
    const log = makeLog(settings.logLevel);
    installLog(log);
    const worker = await startWorker({ settings, log, promote });
    await untilAsked(worker, (signal) => log.info({ signal }, 'finishing calls under way'));
    log.info('worker has ended');
  } catch (error) {
    const lines = error instanceof SettingsError ? error.faults : [told(error)];
    for (const line of lines) console.error(`policy-sync worker: ${line}`);
    process.exitCode = 1;
  }
}

async function untilAsked(worker: RunningWorker, tell: (signal: string) => void): Promise<void> {
  let ending: Promise<void> | undefined;
  const asked = new Promise<void>((resolve) => {
    const end = (signal: string): void => {
      if (ending) process.exit(1);
      tell(signal);
      ending = worker.shutdown();
      resolve();
    };
    process.on('SIGTERM', () => end('SIGTERM'));
    process.on('SIGINT', () => end('SIGINT'));
  });
  await Promise.race([asked, worker.done]);
  await (ending ?? worker.shutdown());
}

function told(error: unknown): string {
  if (error instanceof MerchantsFileError) return error.message;
  return error instanceof Error ? error.message.replace(/\s+/g, ' ').slice(0, 300) : String(error);
}
