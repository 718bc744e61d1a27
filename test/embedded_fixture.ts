import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import './quiet.ts';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const scratch = mkdtempSync(join(tmpdir(), 'policy-sync-test-'));
export const folder = () => mkdtempSync(join(scratch, 'f-'));
export const log = () => {};
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));

/** Runs TypeScript code in a process of its own, from the repository's root, in a process group of its own. */
export function script(
  code: string,
  env: NodeJS.ProcessEnv = {},
  stderr: 'inherit' | 'pipe' = 'inherit',
): ChildProcess {
  return spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
    cwd: root,
    env: { ...process.env, ...env },
    detached: true,
    stdio: ['ignore', 'pipe', stderr],
  });
}

export async function output(child: ChildProcess): Promise<string> {
  const [said, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  assert.equal(code, 0, said);
  return said;
}

export async function text(stream: ChildProcess['stdout']): Promise<string> {
  let said = '';
  for await (const chunk of stream ?? []) said += chunk;
  return said;
}

export async function firstLine(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout ?? process.stdin })) return line;
  return '';
}

export async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

/** Waits until the ports refuse and the processes are gone; the time limit is far above what that takes. */
export async function assertGone(ports: number[], pids: number[]): Promise<void> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const open = (await Promise.all(ports.map(accepts))).filter(Boolean);
    const alive = pids.filter((pid) => parents().has(pid));
    if (open.length + alive.length === 0) return;
    assert.ok(Date.now() < deadline, `still there: ports ${open}, processes ${alive}`);
    await delay(100);
  }
}

export function accepts(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(port)).once('error', () => resolve(undefined));
    socket.once('connect', () => socket.destroy());
  });
}

/** Every live process and its parent, where there is a /proc to read them from. */
export function parents(): Map<number, number> {
  const found = new Map<number, number>();
  for (const name of readProc('/proc')) {
    const stat = readOr(`/proc/${name}/stat`);
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (parent && state !== 'Z') found.set(Number(name), Number(parent));
  }
  return found;
}

export const readProc = (path: string): string[] =>
  or(() => readdirSync(path).filter((name) => /^\d+$/.test(name)), []);
export const readOr = (path: string): string => or(() => readFileSync(path, 'utf8'), '');

/** Processes end while they are being looked at. */
export function or<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}
