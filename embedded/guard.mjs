// Runs one server and outlives its parent just long enough to end it. Started by guarded.ts with a JSON description:
// { command, args, cwd?, uid?, gid?, signal, logFile, lockFile?, scratch? }
//
// The parent holds the other end of standard input. The system closes it when the parent ends, however it ends, and that
// is when the server must go. Guard and server have sessions of their own, so Ctrl-C in a terminal reaches neither.

import { spawn } from 'node:child_process';
import { openSync, rmSync } from 'node:fs';
import { takeLock } from './lock.mjs';

const GRACE_MS = 5_000;
const task = JSON.parse(process.argv[2] ?? '{}');
let server;
let ending = false;

process.stdin.resume();
process.stdin.on('close', end);
process.stdin.on('error', end);
for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, end);
process.on('SIGINT', () => {});
// The parent may be gone when the last word is said.
process.stdout.on('error', () => {});

let release = () => {};
if (task.lockFile)
  release = await takeLock(task.lockFile, { giveUpAfter: 15_000 }).catch((error) => leave({ failed: error.message }));
if (ending) leave({ failed: 'ended before it began' });

const log = openSync(task.logFile, 'a');
server = spawn(task.command, task.args, {
  cwd: task.cwd,
  uid: task.uid,
  gid: task.gid,
  detached: true,
  stdio: ['ignore', log, log],
});
server.on('spawn', () => tell({ pid: server.pid }));
server.on('error', (error) => leave({ failed: error.message }));
server.on('exit', (code, signal) => {
  // A server's own children go with it, the compilers of a build for example.
  sweep('SIGKILL');
  leave({ code, signal });
});

function end() {
  if (ending) return;
  ending = true;
  if (!server?.pid) return;
  sweep(task.signal);
  setTimeout(() => sweep('SIGKILL'), GRACE_MS);
}

function sweep(signal) {
  try {
    process.kill(-server.pid, signal);
  } catch {
    // Nobody is left in the group.
  }
}

function tell(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

function leave(message) {
  release();
  // After a crash the folder stays until the parent has read the log in it.
  if (ending && task.scratch) rmSync(task.scratch, { recursive: true, force: true });
  tell(message);
  process.exit(0);
}
