import type { Logger } from 'pino';

/** What activities log with. Nothing personal goes into it: numbers, codes, field names and Request-IDs only. */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

/** An error that nobody foresaw, as it may be logged: where it came from, without its message, which may quote a value. */
export function fault(error: unknown): { error: string; at: string[] } {
  const { name, stack = '' } = error instanceof Error ? error : new Error('not an Error');
  return { error: name, at: stack.split('\n').filter((line) => /^\s+at /.test(line)) };
}
