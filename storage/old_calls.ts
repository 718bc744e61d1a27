import type { Storage } from './connection.ts';

/** The newest calls of a policy stay, however old they are. */
export const ALWAYS_KEPT = 20;
/** So many are deleted at a time: within the time that an operation has, on a busy FerretDB too. */
const BATCH = 100;

/**
 * Deletes the calls made before `before`, but for the newest 20 of each policy. Tells after each policy how many of its
 * calls went. Any number of workers may do it at once: what one keeps, the others keep.
 * @throws StorageError
 */
export async function* deleteOldCalls(
  storage: Storage,
  before: Date,
): AsyncGenerator<{ policy: string; deleted: number }> {
  for (let policy = await policyAfter(storage, ''); policy !== undefined; policy = await policyAfter(storage, policy))
    yield { policy, deleted: await deleteOldCallsOf(storage, policy, before) };
}

/** In their order by name, whether or not they have records of their own: one look at the index of calls each. */
async function policyAfter(storage: Storage, last: string): Promise<string | undefined> {
  const next = { policy: { $gt: last } };
  const found = await storage.readPage(() =>
    storage.calls.findOne(next, { sort: { policy: 1, at: -1 }, projection: { policy: 1 } }),
  );
  return found?.policy;
}

async function deleteOldCallsOf(storage: Storage, policy: string, before: Date): Promise<number> {
  for (let deleted = 0; ; ) {
    const old = await storage.readPage(() => oldCallsOf(storage, policy, before));
    if (old.length === 0) return deleted;
    const { deletedCount } = await storage.write(`calls of ${policy}`, () =>
      storage.calls.deleteMany({ _id: { $in: old } }),
    );
    deleted += deletedCount;
    if (old.length < BATCH) return deleted;
  }
}

/** By `_id` too: calls of the same instant must come in the same order to everybody who counts. */
async function oldCallsOf(storage: Storage, policy: string, before: Date): Promise<string[]> {
  const found = storage.calls.aggregate<{ _id: string }>([
    { $match: { policy } },
    { $sort: { at: -1, _id: 1 } },
    { $skip: ALWAYS_KEPT },
    { $match: { at: { $lt: before } } },
    { $limit: BATCH },
    { $project: { _id: 1 } },
  ]);
  return (await found.toArray()).map(({ _id }) => _id);
}
