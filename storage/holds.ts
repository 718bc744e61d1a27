import type { Storage } from './connection.ts';

/** A document of `merchants`: the calls of a merchant are held, for whatever reason lies with the merchant. */
export interface StoredHold {
  /** The mchid. */
  _id: string;
  /** WeChat Pay's code, or the word for what is wrong: `paused`, `unusable-settings`, … */
  code: string;
  status: number | null;
  request_id: string | null;
  /** One line for people, nothing personal. */
  message: string;
  since: Date;
  /** When its holder last found it so: it says so again and again, for as long as it holds. */
  probed_at: Date;
  /** The process that said so, `pid@host`. */
  held_by: string;
}

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
