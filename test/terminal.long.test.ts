import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { findOnPath } from '../embedded/path.mjs';
import { startWith } from './story_process.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'policy-sync-terminal-'));
after(() => rmSync(scratch, { recursive: true, force: true }));
const noProc = process.platform === 'linux' ? false : 'only Linux has /proc, where processes are looked up';
const noTerminal = noProc || (findOnPath('script') ? false : 'there is no `script` (of util-linux) on PATH');

/** A command, and how to know its processes: each has the mark in its environment. */
interface Run {
  process: ChildProcess;
  mark: string;
  said(): string;
  /** Resolves when the output has come to match; rejects when the command ends before. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
}

function run(command: string, ...args: string[]): Run {
  const mark = randomUUID();
  const env: NodeJS.ProcessEnv = { ...process.env, NODE_OPTIONS: '', POLICY_SYNC_TEST_MARK: mark };
  for (const name of Object.keys(env)) if (/^(TEMPORAL|MONGODB|npm)_/.test(name)) delete env[name];
  const child = spawn(command, args, { cwd: root, env, stdio: ['pipe', 'pipe', 'inherit'], detached: true });
  let told = '';
  child.stdout.on('data', (chunk) => {
    told += chunk;
  });
  const says = async (pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      const found = pattern.exec(told);
      if (found) return found;
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`ended without ${pattern}:\n${told}`);
      await delay(100);
    }
  };
  return { process: child, mark, said: () => told, says };
}

/** In a terminal of its own. */
const inTerminal = (command: string): Run =>
  run('script', '-qefc', `stty cols 160 rows 50; exec ${command}`, '/dev/null');

function left({ mark }: Run): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isMarked(name, mark))
    .map(Number);
}

/** Processes end while they are being looked at; the environment of one that has ended is empty. */
function isMarked(pid: string, mark: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(mark);
  } catch {
    return false;
  }
}

/** The time limit is far above what the end of servers takes. */
async function assertNothingLeft(ended: Run): Promise<void> {
  for (const deadline = Date.now() + 60_000; left(ended).length > 0; await delay(200))
    assert.ok(Date.now() < deadline, `still there: ${left(ended)}\n${ended.said()}`);
}

const sandboxOf = async (one: Run): Promise<string> => (await one.says(/a sandbox at (http:\S+)/))[1] ?? '';

describe('npm start in a terminal', { skip: noTerminal }, () => {
  test('shows a live table that goes on after the story, until Ctrl-C ends it and all that it started', async () => {
    const story = inTerminal('npm start');
    const sandbox = await sandboxOf(story);
    await story.says(/Every policy is at WeChat Pay[\s\S]*Ctrl-C ends it all\./);
    const [, number] = await story.says(/(amended\w{12,})/);
    await fetch(`${sandbox}/_sandbox/policies/${number}`, {
      method: 'PATCH',
      body: '{"policy_state":"POLICY_STATE_SEEN"}',
    });
    await story.says(new RegExp(`Ctrl-C ends it all\\.[\\s\\S]*${number}[^\\n]*SEEN`));
    const ended = once(story.process, 'exit');
    story.process.stdin?.write('\x03');
    await ended;
    await assertNothingLeft(story);
  });
});

describe('npm start leaves no process', { skip: noProc, concurrency: false }, () => {
  const ways: [string, () => Run, NodeJS.Signals][] = [
    ['when npm is ended', () => run('npm', 'start'), 'SIGTERM'],
    ['when npm is killed', () => run('npm', 'start'), 'SIGKILL'],
    ['when the npx that runs npm is killed', () => run('npx', '-c', 'npm start'), 'SIGKILL'],
  ];
  for (const [how, start, signal] of ways)
    test(how, async () => {
      const story = start();
      await story.says(/worker: process/);
      assert.ok(left(story).length > 3);
      story.process.kill(signal);
      await assertNothingLeft(story);
    });
});

describe('npm start --keep', () => {
  test("brings back what WeChat Pay held in a folder's former run, killed as it was", async () => {
    const keep = join(scratch, 'kept');
    const policies = async (lines: string[]): Promise<Record<string, unknown>[]> => {
      const [, url] = /a sandbox at (http:\S+)/.exec(lines.join('\n')) ?? [];
      return (await fetch(`${url}/_sandbox/policies`)).json() as Promise<Record<string, unknown>[]>;
    };
    const first = startWith({}, '--keep', keep);
    await first.says(/^approved \(\w+\): APPROVED, SYNCED/);
    const before = await policies(first.lines);
    first.process.kill('SIGKILL');
    await first.exit;
    const second = startWith({}, '--keep', keep);
    await second.says(/^worker: process/);
    const now = new Map((await policies(second.lines)).map((policy) => [policy.out_insurance_no, policy]));
    second.process.kill('SIGTERM');
    await second.exit;
    assert.equal(before.length, 7);
    const [approved] = before.filter(({ out_insurance_no }) => /^approved/.test(String(out_insurance_no)));
    assert.deepEqual(now.get(approved?.out_insurance_no), approved);
    for (const { out_insurance_no } of before) assert.ok(now.has(out_insurance_no));
  });
});
