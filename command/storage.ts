import type { Storage } from '../storage/connection.ts';
import { UsageError } from './usage.ts';

/** Runs `work` with MongoDB; `undefined` where `MONGODB_URI` is not set. */
export async function withStorage<T>(work: (storage: Storage) => Promise<T>): Promise<T | undefined> {
  const { MONGODB_URI } = process.env;
  if (!MONGODB_URI) return undefined;
  const [{ connect }, { keyringOf }] = await Promise.all([
    import('../storage/connection.ts'),
    import('../client/connect.ts'),
  ]);
  const storage = await connect(MONGODB_URI, { keyring: keyringOf(process.env) });
  try {
    return await work(storage);
  } finally {
    await storage.close();
  }
}

/** The same for a command that is nothing without MongoDB. */
export async function withMongodb<T>(command: string, work: (storage: Storage) => Promise<T>): Promise<T> {
  if (!process.env.MONGODB_URI) throw new UsageError(`${command}: set MONGODB_URI: it tells of what MongoDB keeps`);
  return (await withStorage(work)) as T;
}
