import { rmSync } from 'node:fs';
import { cp, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeKeys } from '../sandbox/keys.ts';

let made: Promise<string> | undefined;

/**
 * Puts keys of a sandbox into a folder, for tests that only need some: made once in this process, for RSA keys take half a
 * second, and the same in every folder.
 * @returns the folder
 */
export async function keysIn(folder: string): Promise<string> {
  made ??= makeOnce();
  await cp(await made, folder, { recursive: true });
  return folder;
}

async function makeOnce(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'policy-sync-keys-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  await makeKeys(folder);
  return folder;
}
