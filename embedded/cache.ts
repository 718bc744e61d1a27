import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { takeLock } from './lock.mjs';
import type { Log } from './log.ts';

/** A program kept in the user's cache folder. */
export type Cached = { tool: string; version: string };

/** `$XDG_CACHE_HOME/wechatpay-policy-sync`, by default under `~/.cache`. */
export function cacheFolder(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'wechatpay-policy-sync');
}

/** The folder of a program that was completely built or downloaded before; undefined if there is none. */
export function findCached(cached: Cached): string | undefined {
  const folder = folderOf(cached);
  return existsSync(folder) ? folder : undefined;
}

/**
 * Makes a program once for all processes of the user: `make` fills an empty folder, which only then gets its name in
 * the cache. A second process waits for the first; what a killed one left half made is never used.
 * @returns the folder
 * @throws what `make` throws; the cache is then as before
 */
export async function makeCached(cached: Cached, log: Log, make: (folder: string) => Promise<void>): Promise<string> {
  const folder = folderOf(cached);
  const release = await takeLock(`${folder}.lock`, {
    onWait: (pid) => log(`waiting for process ${pid}, which is fetching or building ${cached.tool}`),
  });
  const draft = `${folder}.${process.pid}.${randomUUID().slice(0, 8)}.part`;
  try {
    if (existsSync(folder)) return folder;
    removeLeftovers(folder);
    mkdirSync(draft, { recursive: true });
    await make(draft);
    moveInto(draft, folder);
    return folder;
  } finally {
    rmSync(draft, { recursive: true, force: true });
    release();
  }
}

function folderOf({ tool, version }: Cached): string {
  return join(cacheFolder(), `${tool}-${version}-${process.platform}-${process.arch}`);
}

/** What a process killed in the middle of its work has left: half a program, up to some hundred megabytes. */
function removeLeftovers(folder: string): void {
  for (const name of readdirSync(dirname(folder))) {
    if (name.startsWith(`${basename(folder)}.`) && name.endsWith('.part')) {
      rmSync(join(dirname(folder), name), { recursive: true, force: true });
    }
  }
}

function moveInto(draft: string, folder: string): void {
  try {
    renameSync(draft, folder);
  } catch (error) {
    // Two that took over one dead process's lock at the same instant: the first one's is as good as ours.
    if (!existsSync(folder)) throw error;
  }
}
