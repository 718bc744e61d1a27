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

/**
 * Takes work that one worker at a time goes on with, or goes on with it: nobody else has said in the last `patience` ms that he does. To be
 * said again well before they are over.
 * @returns what time it is at MongoDB; undefined where another has the work
 * @throws StorageError
 */
export async function holdSweep(
  storage: Storage,
  _id: StoredSweep['_id'],
  { held_by, patience }: { held_by: string; patience: number },
): Promise<Date | undefined> {
  const now = await storage.clock();
  const mine = { _id, $or: [{ held_by }, { begun_at: { $lte: new Date(now.getTime() - patience) } }] };
  return storage.write(`sweeps/${_id}`, async () => {
    try {
      await storage.sweeps.updateOne(mine, { $set: { begun_at: now, held_by } }, { upsert: true });
    } catch (error) {
      if (!isDuplicate(error)) throw error;
      return undefined;
    }
    // On FerretDB two that take it at once both hear that they have it.
    const found = await storage.sweeps.findOne({ _id });
    return found?.held_by === held_by ? now : undefined;
  });
}

/**
 * Leaves it to whoever comes next.
 * @throws StorageError
 */
export async function leaveSweep(storage: Storage, _id: StoredSweep['_id'], held_by: string): Promise<void> {
  await storage.write(`sweeps/${_id}`, () => storage.sweeps.deleteOne({ _id, held_by }));
}
