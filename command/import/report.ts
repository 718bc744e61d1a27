import { closeSync, openSync, rmSync, statSync, writeSync } from 'node:fs';
import { UsageError } from '../usage.ts';
import type { About } from './check.ts';
import type { Fault } from './fault.ts';
import type { Source } from './source.ts';

/** What went wrong with a line: a line of the report. */
export interface Reported extends About, Fault {
  line: number;
}

/** The file that names what went wrong. It is there only where something did. */
export interface Report {
  path: string;
  /** How many lines it has by now. */
  count(): number;
  add(what: Reported): void;
  close(): void;
}

/** Where a report is written unless somebody says: beside the file, and here where there is none. */
export function reportPath({ path }: Source): string {
  return `${path ?? 'import'}.report.jsonl`;
}

/** A report anew: one of a run before is replaced. Each line is written at once, for the process may be killed. */
export function startReport(path: string, source: Source): Report {
  if (isSame(path, source.path)) throw new UsageError('--report: expected another file than the one that is imported');
  const file = opened(path);
  let count = 0;
  return {
    path,
    count: () => count,
    add: ({ line, mchid, out_insurance_no, rule, message }) => {
      writeSync(file, `${JSON.stringify({ line, mchid, out_insurance_no, rule, message })}\n`);
      count++;
    },
    close: () => {
      closeSync(file);
      if (count === 0) rmSync(path, { force: true });
    },
  };
}

function opened(path: string): number {
  try {
    return openSync(path, 'w', 0o600);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`${path} cannot be written (${code}): name another file with --report`);
  }
}

function isSame(path: string, other: string | undefined): boolean {
  if (other === undefined) return false;
  try {
    const [one, two] = [statSync(path), statSync(other)];
    return one.dev === two.dev && one.ino === two.ino;
  } catch {
    // One that is not there is another. Whether it can be written shows when it is.
    return false;
  }
}
