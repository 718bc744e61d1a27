import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** All that the bundle is made of: our sources, how they are bundled, and what npm installed. */
const MADE_OF = [
  'workflows',
  'policy',
  'codec',
  'activities/types',
  'worker/bundle.ts',
  'node_modules/.package-lock.json',
];
/** Bundles of sources that have changed since are taken away some time after. */
const KEPT_MS = 7 * 86_400_000;

/**
 * The bundle of the checkout in `root`, from the user's cache folder where a process has made it before. Processes that
 * make one at the same time make the same, and a file gets its name only when it is whole.
 * @throws what `make` throws, and when the sources or the cache folder cannot be used
 */
export async function keptBundle(root: string, kind: string, make: () => Promise<string>): Promise<string> {
  const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'wechatpay-policy-sync', 'workflows');
  const file = join(folder, `${kind}-${await digestOf(root)}.js`);
  const kept = await readIfThere(file);
  if (kept !== undefined) return kept;
  const code = await make();
  await mkdir(folder, { recursive: true });
  await removeOld(folder);
  const draft = `${file}.${randomUUID()}.part`;
  await writeFile(draft, code);
  await rename(draft, file);
  return code;
}

async function digestOf(root: string): Promise<string> {
  const digest = createHash('sha256');
  for (const part of MADE_OF)
    for (const file of await filesOf(root, part)) {
      const text = await readFile(join(root, file));
      digest.update(`${file}\n${text.length}\n`).update(text);
    }
  return digest.digest('hex').slice(0, 32);
}

async function filesOf(root: string, part: string): Promise<string[]> {
  if (!(await stat(join(root, part))).isDirectory()) return [part];
  const names = await readdir(join(root, part), { recursive: true });
  return names
    .filter((name) => name.endsWith('.ts'))
    .sort()
    .map((name) => join(part, name));
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function removeOld(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const file = join(folder, name);
    // Another process may have taken it away meanwhile.
    const old = await stat(file).catch(() => undefined);
    if (old && Date.now() - old.mtimeMs > KEPT_MS) await rm(file, { force: true });
  }
}
