import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

// Plain JavaScript, without packages: with-packages.mjs takes a lock before there are any, guard.mjs runs without tsx.

/**
 * Takes a lock between processes, waiting while a live process holds it. A lock left by a dead process is taken over.
 * Two that take over at the same instant may both believe they hold it, so what it guards must end in an atomic rename.
 * @param {string} file path of the lock file
 * @param {{ onWait?: (pid: number) => void, giveUpAfter?: number }} [options] `onWait` is called once, with the holder's
 *   pid, when there is something to wait for; after `giveUpAfter` milliseconds (default: never) it throws
 * @returns {Promise<() => void>} the release
 */
export async function takeLock(file, { onWait, giveUpAfter = Number.POSITIVE_INFINITY } = {}) {
  mkdirSync(dirname(file), { recursive: true });
  const deadline = Date.now() + giveUpAfter;
  for (let waited = false; ; waited = true) {
    const mine = claim(file);
    if (mine) return () => release(file, mine);
    const holder = read(file);
    if (holder && !isAlive(holder)) {
      rmSync(file, { force: true });
      continue;
    }
    if (holder && !waited) onWait?.(holder.pid);
    if (Date.now() >= deadline) throw new Error(`${file} is held by process ${holder?.pid ?? 'unknown'}`);
    await delay(100);
  }
}

/** Creates the lock file with its content at once, by a hard link, so that nobody ever reads it half written. */
function claim(file) {
  const content = JSON.stringify({ pid: process.pid, born: birth(process.pid), nonce: randomUUID() });
  const draft = `${file}.${process.pid}.${randomUUID()}`;
  writeFileSync(draft, content);
  try {
    linkSync(draft, file);
    return content;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
    return undefined;
  } finally {
    rmSync(draft, { force: true });
  }
}

function release(file, mine) {
  try {
    if (readFileSync(file, 'utf8') === mine) rmSync(file, { force: true });
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
}

function read(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    return { pid: 0 };
  }
}

/** A pid alone may have gone to another process since, so where the system tells it, the start time must agree too. */
function isAlive({ pid, born }) {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  const [state, now] = stat(pid);
  // A container whose first process reaps nobody keeps its dead as zombies, which still take signals.
  if (state === 'Z' || state === 'X') return false;
  if (born !== undefined && now !== undefined) return born === now;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

function birth(pid) {
  return stat(pid)[1];
}

/** State and start time (in the kernel's ticks) of a process; both undefined where there is no /proc or no process. */
function stat(pid) {
  try {
    const line = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
    return [fields[0], fields[19]];
  } catch {
    return [undefined, undefined];
  }
}
