import { type FileHandle, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nameOf, notRead } from '../input.ts';

/** A file that is read from its beginning as often as it is asked for, and never held in memory. */
export interface Source {
  /** For people. */
  name: string;
  /** Its path, where it is a file that stays. */
  path: string | undefined;
  bytes(): AsyncIterable<Buffer>;
  close(): Promise<void>;
}

/** A file, or standard input for `-`. Throws an error of one line. */
export async function sourceOf(file: string): Promise<Source> {
  if (file === '-') return from(nameOf(file), await spooled(process.stdin));
  const refuse = (error: NodeJS.ErrnoException): never => {
    throw notRead(file, error);
  };
  const handle = await open(file).catch(refuse);
  if ((await handle.stat()).isFile()) return from(file, handle, file);
  try {
    // A pipe that has a name, such as the shell's <(…), can be read only once too.
    return from(file, await spooled(handle.createReadStream()).catch(refuse));
  } finally {
    await handle.close().catch(() => {});
  }
}

function from(name: string, handle: FileHandle, path?: string): Source {
  return {
    name,
    path,
    bytes: () => handle.createReadStream({ start: 0, autoClose: false }),
    close: () => handle.close(),
  };
}

/** A copy on disk that nobody else can open, and that is gone with this process, however it ends: it holds personal data. */
async function spooled(input: AsyncIterable<Buffer | string>): Promise<FileHandle> {
  const folder = await mkdtemp(join(tmpdir(), 'policy-sync-import-'));
  const handle = await open(join(folder, 'records'), 'wx+', 0o600).finally(() => rm(folder, { recursive: true }));
  try {
    for await (const chunk of input) await handle.appendFile(chunk);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}
