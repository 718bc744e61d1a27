import type { Storage } from './connection.ts';

/** A document of `merchants`: the calls of a merchant are held, for whatever reason lies with the merchant. */
export interface StoredHold {
  /** The mchid. */
  _id: string;
  /** WeChat Pay's code, or the client's word for what is wrong. */
  code: string;
  status: number | null;
  request_id: string | null;
  /** One line for people, nothing personal. */
  message: string;
  since: Date;
  /** The last probe that met the fault. */
  probed_at: Date;
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
 * The merchant's calls go on.
 * @throws StorageError
 */
export async function clearHold(storage: Storage, mchid: string): Promise<void> {
  await storage.write(`merchants/${mchid}`, () => storage.merchants.deleteOne({ _id: mchid }));
}

/**
 * All merchants whose calls are held, by mchid.
 * @throws StorageError
 */
export async function listHolds(storage: Storage): Promise<StoredHold[]> {
  return storage.readPage(() => storage.merchants.find({}).sort({ _id: 1 }).toArray());
}
