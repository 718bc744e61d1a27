import { wantsTraces } from '../tracing/settings.ts';
import { note } from './output.ts';
import { UsageError } from './usage.ts';

let end: (() => Promise<void>) | undefined;

/** Commands whose process is a service of its own in the eyes of who reads traces. */
const SERVICES: Record<string, string> = { worker: 'policy-sync-worker', serve: 'policy-sync-gateway' };

/** OpenTelemetry is loaded where it is asked for. @throws {UsageError} */
export async function startTraces(command: string): Promise<void> {
  if (end || !isWanted()) return;
  const { startExporting } = await import('../tracing/exporting.ts');
  const service = SERVICES[command];
  end = startExporting(service ?? 'policy-sync', service ? await logged() : note);
}

/** Sends what is left. */
export async function endTraces(): Promise<void> {
  await end?.();
}

/** A service writes no line but those of its log. */
async function logged(): Promise<(line: string) => void> {
  const [{ makeLog }, { logLevelOf }] = await Promise.all([import('../worker/log.ts'), import('./log_level.ts')]);
  const log = makeLog(logLevelOf(process.env));
  return (line) => log.warn(line);
}

function isWanted(): boolean {
  try {
    return wantsTraces(process.env);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}
