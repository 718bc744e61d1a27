import type { Logger } from 'pino';

/** What activities log with. Nothing personal goes into it: numbers, codes, field names and Request-IDs only. */
export type Log = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;
