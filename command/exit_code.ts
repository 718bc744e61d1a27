import { UsageError } from './usage.ts';

/** What the exit codes of every command say. */
export const EXIT_CODES = {
  0: 'done',
  1: 'refused or failed',
  2: 'wrong usage',
  3: 'a server, a worker or WeChat Pay is out of reach',
  4: 'differences found',
} as const;

export type ExitCode = keyof typeof EXIT_CODES;

// By name: their classes come with rooms that are loaded only by the commands that need them.
const OUT_OF_REACH: ReadonlySet<unknown> = new Set([
  'ServerUnreachable',
  'StorageUnavailable',
  'Unavailable',
  'NotBegun',
  'ErasureUnfinished',
]);

/** The exit code of a command that ended with this error. */
export function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof UsageError) return 2;
  return error instanceof Error && OUT_OF_REACH.has(error.name) ? 3 : 1;
}

/** Ends the command with this code once its output is written; a failure before stays the failure. */
export function endWith(code: ExitCode): void {
  if (process.exitCode !== 1) process.exitCode = code;
}
