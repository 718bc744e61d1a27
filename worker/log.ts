import { IllegalStateError } from '@temporalio/common';
import { type InjectedSinks, type LogEntry, type MetricsExporterConfig, Runtime } from '@temporalio/worker';
import { type Logger, pino } from 'pino';
import type { Log } from '../activities/log.ts';
import type { LogSinks } from '../workflows/transitions.ts';

/** JSON lines on standard error. Nothing personal goes into them: numbers, codes, field names and Request-IDs only. */
export function makeLog(level: string): Logger {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ fd: 2, sync: true }));
}

/** What of the SDK's own fields is worth a line. */
const TELLING = ['taskQueue', 'workflowId', 'runId', 'activityType', 'activityId', 'attempt', 'state'];
/** Said once by each merchant's Worker, and meant so. */
const MEANT = 'No workflows registered';

/**
 * Has the SDK log through ours, and leaves signals to us. A process has one runtime, so where there is one already
 * (another worker's) it serves for both.
 * @param metrics where the SDK serves its own
 */
export function installRuntime(log: Pick<Logger, 'debug' | 'warn' | 'error'>, metrics?: MetricsExporterConfig): void {
  const write = (level: LogEntry['level'], message: string, meta: LogEntry['meta'] = {}): void => {
    const fields = Object.fromEntries(TELLING.filter((key) => key in meta).map((key) => [key, meta[key]]));
    const told = { ...fields, ...(meta.error instanceof Error && errorOf(meta.error)) };
    if (level === 'ERROR') log.error(told, message);
    else if (level === 'WARN' && !message.startsWith(MEANT)) log.warn(told, message);
    else log.debug(told, message);
  };
  const at = (level: LogEntry['level']) => (message: string, meta?: LogEntry['meta']) => write(level, message, meta);
  const logger = {
    log: write,
    trace: at('TRACE'),
    debug: at('DEBUG'),
    info: at('INFO'),
    warn: at('WARN'),
    error: at('ERROR'),
  };
  try {
    Runtime.install({
      logger,
      shutdownSignals: [],
      telemetryOptions: { logging: { filter: { core: 'ERROR' }, forward: {} }, ...(metrics && { metrics }) },
    });
  } catch (error) {
    if (error instanceof IllegalStateError) return;
    if (!metrics) throw error;
    // Another program has taken the port meanwhile: that is no reason to serve nobody.
    log.warn('the metrics of the Temporal SDK are left out: their port could not be had');
    installRuntime(log);
  }
}

/** What workflows log with. */
export function logSinks(log: Log): InjectedSinks<LogSinks> {
  return {
    policyLog: {
      info: { fn: (_workflow, line, message) => log.info(line, message) },
      warn: { fn: (_workflow, line, message) => log.warn(line, message) },
    },
  };
}

/** Name or type, and the place in our code: an error's text may quote a payload. */
function errorOf({ name, stack = '', ...rest }: Error & { type?: unknown }): { error: unknown; at?: string } {
  const [, place] = /\n\s+at ([^\n]+)/.exec(stack) ?? [];
  return { error: rest.type ?? name, ...(place && { at: place }) };
}
