import { makeLog } from './log.ts';
import { readSettings, SettingsError } from './settings.ts';
import { shutdownAsked } from './shutdown.ts';
import { startWorker } from './worker.ts';

/**
 * `policy-sync worker`: runs until SIGTERM or SIGINT, which let calls under way finish. What went wrong is one line on
 * standard error (for settings: one each), and exit code 1.
 */
export async function runWorker({ promote }: { promote: boolean }): Promise<void> {
  let signal: AbortSignal | undefined;
  try {
    const settings = readSettings(process.env);
    const log = makeLog(settings.logLevel);
    signal = shutdownAsked((name) => log.info({ signal: name }, 'ending: calls under way finish'));
    const worker = await startWorker({ settings, log, promote, signal });
    await worker.done;
    log.info('worker has ended');
  } catch (error) {
    // Asked to end while it was starting.
    if (signal?.aborted && error === signal.reason) return;
    for (const line of linesOf(error)) console.error(`policy-sync worker: ${line}`);
    process.exitCode = 1;
  }
}

function linesOf(error: unknown): readonly string[] {
  if (error instanceof SettingsError) return error.faults;
  return [(error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ').slice(0, 300)];
}
