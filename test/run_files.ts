// node --import tsx test/run_files.ts [--test-name-pattern=PATTERN] FILE…: runs test files, begun in the order in which they
// are given, and tells of each when it has ended. A few processes share them (test/some_files.ts): one for each file, as
// `node --test` has it, would load the SDK and ours anew for each, which takes longer than most tests do. With a pattern
// each file has its own: of a file in which nothing matches, Node does not tell the others when it has ended.
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

/** Tests wait more than they work: for servers, for times that come, for what must not happen. */
const PROCESSES = Number(process.env.TEST_PROCESSES ?? 6);
/** All that a process may take. */
const MOST_MS = 55 * 60_000;

const PATTERN = '--test-name-pattern=';
const given = process.argv.slice(2);
const patterns = given.filter((word) => word.startsWith(PATTERN)).map((word) => word.slice(PATTERN.length));
const files = given.filter((word) => !word.startsWith(PATTERN));
const taken = await mkdtemp(join(tmpdir(), 'policy-sync-tests-'));
process.env.TEST_FILES = JSON.stringify({ files, taken });

const report = new spec();
report.pipe(process.stdout);
const ending = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => ending.abort());
const counts = new Map<string, number>();
/** Names of files of which a test failed, or that were not run to their end; and what was skipped and must not be. */
const failed = new Set<string>();
const began = Date.now();

type Event = {
  type: string;
  data: { nesting?: number; message?: string; name?: string; skip?: string | boolean; file?: string };
};
const SOME_FILES = fileURLToPath(new URL('./some_files.ts', import.meta.url));

/** Tells of what it runs; what is said of a file is held back until the file has ended. */
async function runAll(given: string[]): Promise<void> {
  const told = run({
    files: given,
    concurrency: PROCESSES,
    timeout: MOST_MS,
    signal: ending.signal,
    ...(patterns.length > 0 && { testNamePatterns: patterns }),
  });
  let held: unknown[] = [];
  for await (const event of told) {
    const { type, data } = event as Event;
    if (type === 'test:fail') process.exitCode = 1;
    if (type === 'test:fail' && data.nesting === 0) failed.add(data.name ?? '');
    if (type === 'test:pass' && data.skip) skipped(data);
    if (type === 'test:diagnostic' && data.nesting === 0 && count(data.message)) continue;
    held.push(event);
    if (!/^test:(pass|fail)$/.test(type) || data.nesting !== 0) continue;
    for (const one of held) report.write(one);
    held = [];
  }
  for (const one of held) report.write(one);
}

/**
 * With REQUIRE_ALL=1, as in CI: a test that is skipped for want of a program has proved nothing. Those for another kind of
 * machine say `only …`. A test that a pattern leaves out is skipped, too.
 */
function skipped({ name, skip, file = '' }: Event['data']): void {
  if (process.env.REQUIRE_ALL !== '1' || patterns.length > 0 || String(skip).startsWith('only ')) return;
  const told = `${basename(file)}: ${name}: skipped: ${skip}`;
  console.error(`REQUIRE_ALL=1: ${told}`);
  process.exitCode = 1;
  // No second run makes up for it.
  failed.add(told);
}

function diagnose(message: string): void {
  report.write({ type: 'test:diagnostic', data: { nesting: 0, message } });
}

/** Each process ends with counts of its own (`tests 7`). */
function count(line = ''): boolean {
  const [, what = '', number] = /^(\w+) ([\d.]+)$/.exec(line) ?? [];
  if (number !== undefined) counts.set(what, (counts.get(what) ?? 0) + Number(number));
  return number !== undefined;
}

if (patterns.length > 0) {
  // For the process of each file: the native part of Temporal's SDK now and then keeps one alive for ever.
  process.execArgv.push('--test-force-exit');
  await runAll(files);
} else {
  await Promise.all(Array.from({ length: Math.min(PROCESSES, files.length) }, () => runAll([SOME_FILES])));
  for (const file of files.filter((one) => !existsSync(join(taken, basename(one), 'ended')))) {
    // Its process ended in the middle of it, or nobody was left to take it.
    process.exitCode = 1;
    failed.add(basename(file));
    diagnose(`${basename(file)} was not run to its end`);
  }
}
for (const [what, number] of counts.set('duration_ms', Date.now() - began)) diagnose(`${what} ${number}`);
report.end();
if (process.env.TEST_FAILED) await writeFile(process.env.TEST_FAILED, JSON.stringify([...failed]));
await rm(taken, { recursive: true });
