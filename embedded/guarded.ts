import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const guardFile = fileURLToPath(new URL('guard.mjs', import.meta.url));

/** What to run under a guard. */
export type Task = {
  command: string;
  args: string[];
  /** Appended to; never the user's screen. */
  logFile: string;
  /** Held while the program runs, so that no two servers ever work on one directory. */
  lockFile?: string;
  /** Folder removed after the program ended because it was to. */
  scratch?: string;
  cwd?: string;
  env?: NodeJS.ProcessEnv;
  uid?: number;
  gid?: number;
  /** The signal that asks the program to end; SIGKILL follows after 5 s. */
  signal?: NodeJS.Signals;
};

/** How a program ended: its exit code, or the signal or failure that ended it. */
export type Exit = { code: number | null; reason: string };

export type Guarded = {
  pid: number;
  exited: Promise<Exit>;
  /** Ends the program; resolves when it is gone. */
  stop(): Promise<Exit>;
};

type Message = { pid?: number; failed?: string; code?: number | null; signal?: string | null };

/**
 * Starts a program under a guard process that ends it, and its children, when this process ends, even by `kill -9`.
 * @returns once the program runs
 * @throws Error in one line when it cannot be started, or the lock file is held by another for over 15 s
 */
export async function startGuarded(task: Task): Promise<Guarded> {
  const { env = process.env, ...rest } = task;
  const guard = spawn(process.execPath, [guardFile, JSON.stringify({ signal: 'SIGTERM', ...rest })], {
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...env, NODE_OPTIONS: '' },
  });
  // Its only use is to be closed. A guard that is gone already must not end this process by a failed write.
  guard.stdin.on('error', () => {});
  const { started, exited } = listen(guard);
  const pid = await started;
  hold(guard, false);
  return {
    pid,
    exited,
    stop() {
      hold(guard, true);
      guard.stdin.end();
      return exited;
    },
  };
}

/** Reads what the guard tells: first the pid of the program, at last how it ended. */
function listen(guard: ChildProcessByStdio<Writable, Readable, null>) {
  let pid: number | undefined;
  let last: Message = {};
  const exited = new Promise<Exit>((resolve) => {
    guard.on('error', (error) => resolve({ code: null, reason: error.message }));
    guard.on('close', () => {
      if (pid !== undefined && last.pid !== undefined) killGroup(pid);
      resolve(exitOf(last));
    });
  });
  const started = new Promise<number>((resolve, reject) => {
    createInterface({ input: guard.stdout }).on('line', (line) => {
      last = JSON.parse(line) as Message;
      if (last.pid === undefined) return;
      pid = last.pid;
      resolve(pid);
    });
    exited.then((exit) => reject(new Error(exit.reason)));
  });
  return { started, exited };
}

/** A program under guard keeps this process alive only while it is being waited for: it ends with this process anyway. */
function hold(guard: ChildProcessByStdio<Writable, Readable, null>, held: boolean): void {
  for (const part of [guard, guard.stdin as Socket, guard.stdout as Socket]) held ? part.ref() : part.unref();
}

/** A line of the stack that Go prints after a panic. */
const GO_STACK = /\.go:\d+( \+0x[0-9a-f]+)?$/;

/**
 * The last lines of a log file, for an error message: of a Go program that panicked those that say why, not its stack.
 * @returns at most `count` lines, trimmed, joined by ` | `; empty when there is no log
 */
export function lastLines(logFile: string, count = 5): string {
  try {
    const size = statSync(logFile).size;
    const bytes = Buffer.alloc(Math.min(size, 65_536));
    const file = openSync(logFile, 'r');
    readSync(file, bytes, 0, bytes.length, size - bytes.length);
    closeSync(file);
    const lines = bytes
      .toString('utf8')
      .split('\n')
      .map((line) => line.trim())
      .filter(Boolean);
    const panic = GO_STACK.test(lines.at(-1) ?? '') ? lines.findLastIndex((line) => line.startsWith('panic: ')) : -1;
    return (panic < 0 ? lines.slice(-count) : lines.slice(panic, panic + 1)).join(' | ');
  } catch {
    return '';
  }
}

function exitOf(message: Message): Exit {
  if (message.pid !== undefined) return { code: null, reason: 'its guard process was killed' };
  if (message.failed) return { code: null, reason: message.failed };
  if (message.signal) return { code: null, reason: `ended by ${message.signal}` };
  return { code: message.code ?? null, reason: `exit code ${message.code}` };
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It went with its guard.
  }
}
