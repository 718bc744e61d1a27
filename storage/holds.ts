import type { Storage } from './connection.ts';
import type { StoredHold } from './documents.ts';

/**
 * Of several processes that hold the same merchant the last one's word counts.
 * @throws StorageError
 */
export async function writeHold(storage: Storage, { _id, since, ...hold }: StoredHold): Promise<void> {
  await storage.write(`merchants/${_id}`, () =>
    storage.merchants.updateOne({ _id }, { $set: hold, $setOnInsert: { since } }, { upsert: true }),
  );
}

/**
 * The merchant's calls go on, as far as who says so knows: where another process has had the last word, or the same
 * since, its word stays.
 * @throws StorageError
 */
export async function clearHold(
  storage: Storage,
  hold: Pick<StoredHold, '_id'> & Partial<Pick<StoredHold, 'held_by' | 'probed_at'>>,
): Promise<void> {
  await storage.write(`merchants/${hold._id}`, () => storage.merchants.deleteOne(hold));
}

/**
 * All merchants whose calls are held, by mchid.
 * @throws StorageError
 */
export async function listHolds(storage: Storage): Promise<StoredHold[]> {
  return storage.readPage(() => storage.merchants.find({}).sort({ _id: 1 }).toArray());
}
