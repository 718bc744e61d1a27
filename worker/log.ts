import { type LogEntry, Runtime } from '@temporalio/worker';
import { type Logger, pino } from 'pino';

/** JSON lines on standard error. Nothing personal goes into them: numbers, codes, field names and Request-IDs only. */
export function makeLog(level: string): Logger {
  return pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, pino.destination({ fd: 2, sync: true }));
}

/** What of the SDK's own fields is worth a line. Errors are told by name and type: their text may quote a payload. */
const TELLING = ['taskQueue', 'workflowId', 'runId', 'activityType', 'activityId', 'attempt', 'state'];

/** Has the SDK log through ours. A verification that finds nothing fails as BENIGN, thousands of times: debug. */
export function installLog(log: Logger): void {
  const write = ({ level, message, meta = {} }: Omit<LogEntry, 'timestampNanos'>): void => {
    const fields = Object.fromEntries(TELLING.filter((key) => key in meta).map((key) => [key, meta[key]]));
    const error = meta.error as { name?: string; type?: string } | undefined;
    const told = { ...fields, ...(error && { error: error.type ?? error.name }) };
    // An activity that fails is retried or answered for by the workflow: what it means is logged there.
    if (level === 'ERROR') log.error(told, message);
    else if (level === 'WARN' && message !== 'Activity failed' && !message.startsWith('No workflows registered'))
      log.warn(told, message);
    else log.debug(told, message);
  };
  const at = (level: LogEntry['level']) => (message: string, meta?: LogEntry['meta']) =>
    write({ level, message, meta });
  const logger = {
    log: (level: LogEntry['level'], message: string, meta?: LogEntry['meta']) => write({ level, message, meta }),
    trace: at('TRACE'),
    debug: at('DEBUG'),
    info: at('INFO'),
    warn: at('WARN'),
    error: at('ERROR'),
  };
  Runtime.install({ logger, telemetryOptions: { logging: { filter: 'ERROR', forward: {} } } });
}
