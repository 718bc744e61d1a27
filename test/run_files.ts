// node --import tsx test/run_files.ts [--test-name-pattern=PATTERN] FILE…: runs test files in the order in which they are
// given. `node --test` does all the rest alike, but sorts them, and takes a skipped test for a good one.
import { basename } from 'node:path';
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
// With REQUIRE_ALL=1, as in CI: a test that is skipped for want of a program has proved nothing. Those for another kind of
// machine say `only …`. A test that a pattern leaves out is skipped, too.
if (process.env.REQUIRE_ALL === '1' && patterns.length === 0)
  told.on('test:pass', ({ name, skip, file }) => {
    if (!skip || String(skip).startsWith('only ')) return;
    console.error(`REQUIRE_ALL=1: ${basename(file ?? '')}: ${name}: skipped: ${skip}`);
    process.exitCode = 1;
  });
told.compose(new spec()).pipe(process.stdout);
