import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const LIVES = ['approved', 'declined', 'amended', 'renewal', 'cancelled', 'expired', 'healed'];

/** `npm start` in a process of its own. */
export interface Story {
  process: ChildProcessByStdio<null, Readable, Readable>;
  lines: string[];
  /** Resolves at the first line that matches. */
  says(pattern: RegExp): Promise<string>;
  exit: Promise<number | null>;
}

/** `npm start -- …`, of the servers that it finds by itself. */
export function start(...words: string[]): Story {
  return startWith({}, ...words);
}

/** The same in a shell that has settings. */
export function startWith(settings: NodeJS.ProcessEnv, ...words: string[]): Story {
  const env = { ...process.env, NODE_OPTIONS: '' };
  for (const name of Object.keys(env))
    if (/^(TEMPORAL|MONGODB|POLICY_SYNC|WECHATPAY)_/.test(name)) delete env[name as never];
  const child = spawn(process.execPath, ['embedded/with-packages.mjs', 'command/start.ts', ...words], {
    cwd: root,
    env: { ...env, ...settings },
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

export function assertAllLived({ lines }: Story): void {
  const told = lines.join('\n');
  for (const life of LIVES) assert.match(told, new RegExp(`^✓ ${life}: `, 'm'), told);
}

/** The process ids of every worker that ran, as the story said. */
export function workersOf({ lines }: Pick<Story, 'lines'>): number[] {
  return lines.flatMap((line) => /^worker: process (\d+)/.exec(line)?.[1] ?? []).map(Number);
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
