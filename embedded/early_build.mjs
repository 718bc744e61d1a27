import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { devNull } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findOnPath } from './path.mjs';

// Plain JavaScript, without packages: with-packages.mjs starts it while npm is fetching them.

const here = dirname(fileURLToPath(import.meta.url));
const MONGODB_DOWNLOADS = 'https://fastdl.mongodb.org/';
const ANSWER_MS = 5_000;

/** How FerretDB is built, but for where to. The same flags find again what an earlier build compiled. */
export const FERRETDB_BUILD = { args: ['build', '-trimpath', '-ldflags', '-s -w', '-o'], cwd: join(here, 'ferretdb') };

let building = Promise.resolve();

/** Resolves when no early build is under way; at once where there is none. */
export function earlyBuild() {
  return building;
}

/**
 * Compiles FerretDB into Go's own cache where it is likely to be needed: where the user names no MongoDB and has none, and
 * the official download is out of reach. How that goes is not told: the build that follows says what is wrong.
 * @param {string} cache folder of programs fetched or built before
 */
export function buildEarly(cache) {
  const go = findOnPath('go');
  if (!go || findOnPath('mongod') || process.env.MONGODB_URI || hasMongoDb(cache)) return;
  building = isReachable(MONGODB_DOWNLOADS).then(async (reachable) => {
    if (reachable) return;
    console.error('building FerretDB with Go meanwhile …');
    const { args, cwd } = FERRETDB_BUILD;
    const task = { command: go, args: [...args, devNull, '.'], cwd, logFile: devNull };
    await runUnderGuard(task, { env: { ...process.env, CGO_ENABLED: '0' }, held: false });
  });
}

/**
 * Runs a task under guard.mjs, which ends it with this process.
 * @param {object} task see guard.mjs
 * @param {{ env?: NodeJS.ProcessEnv, held?: boolean }} [options] `held: false`: it does not keep this process alive
 * @returns {Promise<{ code?: number | null, failed?: string }>} how it ended
 */
export async function runUnderGuard(task, { env = process.env, held = true } = {}) {
  const guard = spawn(process.execPath, [join(here, 'guard.mjs'), JSON.stringify({ signal: 'SIGTERM', ...task })], {
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
    env,
  });
  if (!held) for (const part of [guard, guard.stdin, guard.stdout]) part.unref();
  let told = '';
  for await (const chunk of guard.stdout) told += chunk;
  return JSON.parse(told.trim().split('\n').at(-1) || '{}');
}

function hasMongoDb(cache) {
  return existsSync(cache) && readdirSync(cache).some((name) => /^(mongod|ferretdb)-/.test(name));
}

async function isReachable(url) {
  try {
    await fetch(url, { method: 'HEAD', signal: AbortSignal.timeout(ANSWER_MS) });
    return true;
  } catch {
    return false;
  }
}
