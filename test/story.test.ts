import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SEED } from './fixtures.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const LIVES = ['approved', 'declined', 'amended', 'renewal', 'cancelled', 'expired', 'healed'];

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'policy-sync-story-'));
});
after(() => rm(scratch, { recursive: true, force: true }));

interface Story {
  process: ChildProcessByStdio<null, Readable, Readable>;
  lines: string[];
  /** Resolves at the first line that matches. */
  says(pattern: RegExp): Promise<string>;
  exit: Promise<number | null>;
}

/** `npm start -- …`, of the servers that it finds by itself. */
function start(...words: string[]): Story {
  const env = { ...process.env, NODE_OPTIONS: '' };
  for (const name of Object.keys(env))
    if (/^(TEMPORAL|MONGODB|POLICY_SYNC|WECHATPAY)_/.test(name)) delete env[name as never];
  const child = spawn(process.execPath, ['embedded/with-packages.mjs', 'client/command/start.ts', ...words], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const lines: string[] = [];
  const waiting: { pattern: RegExp; resolve: (line: string) => void; reject: (error: Error) => void }[] = [];
  const take = (line: string): void => {
    lines.push(line);
    for (const one of waiting) if (one.pattern.test(line)) one.resolve(line);
  };
  createInterface({ input: child.stdout }).on('line', take);
  createInterface({ input: child.stderr }).on('line', take);
  const exit = once(child, 'close').then(([code]) => {
    for (const { pattern, reject } of waiting) reject(new Error(`ended without ${pattern}:\n${lines.join('\n')}`));
    return code as number | null;
  });
  const says = async (pattern: RegExp): Promise<string> => {
    const said = lines.find((line) => pattern.test(line));
    return said ?? new Promise((resolve, reject) => waiting.push({ pattern, resolve, reject }));
  };
  return { process: child, lines, says, exit };
}

function assertAllLived({ lines }: Story): void {
  const told = lines.join('\n');
  for (const life of LIVES) assert.match(told, new RegExp(`^✓ ${life}: `, 'm'), told);
}

/** The numbers after "process" in what was said: every worker that ran. */
function workersOf({ lines }: Story): number[] {
  return lines.flatMap((line) => /^worker: process (\d+)/.exec(line)?.[1] ?? []).map(Number);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('npm start', () => {
  it('-- --once lives every policy through and ends with 0; nothing personal rests in the clear in databases and logs', async () => {
    const keep = join(scratch, 'once');
    const story = start('--once', '--keep', keep);
    assert.equal(await story.exit, 0, story.lines.join('\n'));
    assertAllLived(story);
    await story.says(/^Temporal UI: http:\/\/127\.0\.0\.1:\d+$/);
    for (const pid of workersOf(story)) assert.ok(!isRunning(pid));
    const personal = ['张三', SEED.car_number, SEED.address, '中关村大街'].map((text) => Buffer.from(text));
    const found: string[] = [];
    let looked = 0;
    for (const entry of await readdir(keep, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const content = await readFile(join(entry.parentPath, entry.name));
      looked++;
      if (personal.some((text) => content.includes(text))) found.push(join(entry.parentPath, entry.name));
    }
    assert.deepEqual(found, []);
    assert.ok(looked > 10, `${looked} files`);
    for (const text of personal) assert.ok(!story.lines.some((line) => line.includes(text.toString())));
  });

  it('loses nothing when its worker is killed in the middle', async () => {
    const story = start('--once');
    // By then all are open, and calls of theirs are under way.
    await story.says(/^healed \(\w+\): /);
    const [first] = workersOf(story);
    assert.ok(first !== undefined);
    process.kill(first, 'SIGKILL');
    await story.says(/^the worker has ended/);
    assert.equal(await story.exit, 0, story.lines.join('\n'));
    assertAllLived(story);
    assert.equal(workersOf(story).length, 2);
  });

  it('stays until Ctrl-C, and then ends all that it started', async () => {
    const keep = join(scratch, 'interrupted');
    const story = start('--keep', keep);
    await story.says(/^worker: process/);
    story.process.kill('SIGINT');
    assert.equal(await story.exit, 130);
    for (const pid of workersOf(story)) assert.ok(!isRunning(pid));
  });

  it('says in one line what it does not understand, and ends with 2', async () => {
    const story = start('--twice');
    assert.equal(await story.exit, 2);
    assert.deepEqual(
      story.lines,
      ["error: unknown option '--twice'", '(Did you mean --once?)'].slice(0, story.lines.length),
    );
  });
});
