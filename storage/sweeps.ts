import type { Storage } from './connection.ts';
import type { StoredSweep } from './documents.ts';
import { isDuplicate } from './errors.ts';

/**
 * Whether the sweep is the caller's to do: nobody has begun one in the last `every` ms. By MongoDB's clock.
 * @throws StorageError
 */
export async function beginSweep(storage: Storage, _id: StoredSweep['_id'], every: number): Promise<boolean> {
  const now = await storage.clock();
  const due = { _id, begun_at: { $lte: new Date(now.getTime() - every) } };
  return storage.write(`sweeps/${_id}`, async () => {
    try {
      const begun = await storage.sweeps.updateOne(due, { $set: { begun_at: now } }, { upsert: true });
      return begun.matchedCount + begun.upsertedCount > 0;
    } catch (error) {
      if (isDuplicate(error)) return false;
      throw error;
    }
  });
}
