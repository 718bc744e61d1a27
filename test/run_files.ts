// node --import tsx test/run_files.ts [--test-name-pattern=PATTERN] FILE…: runs test files in the order in which they are
// given. `node --test` does all the rest alike, but sorts them.
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

/** Tests wait more than they work: for servers, for times that come, for what must not happen. */
const FILES_AT_ONCE = 4;
/** A file that hangs is ended, and named as failed. */
const MOST_MS_OF_A_FILE = 15 * 60_000;

const PATTERN = '--test-name-pattern=';
const given = process.argv.slice(2);
const patterns = given.filter((word) => word.startsWith(PATTERN)).map((word) => word.slice(PATTERN.length));
const ending = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => ending.abort());
const told = run({
  files: given.filter((word) => !word.startsWith(PATTERN)),
  concurrency: FILES_AT_ONCE,
  timeout: MOST_MS_OF_A_FILE,
  signal: ending.signal,
  ...(patterns.length > 0 && { testNamePatterns: patterns }),
});
told.on('test:fail', () => {
  process.exitCode = 1;
});
told.compose(new spec()).pipe(process.stdout);
