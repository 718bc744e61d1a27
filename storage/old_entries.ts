import type { Storage } from './connection.ts';
import { ERASED } from './erasure.ts';

/** So many are deleted at a time: within the time that an operation has, on a busy FerretDB too. */
const BATCH = 100;

/**
 * Deletes commands that came before `before`: what WeChat Pay has confirmed, and what was refused. A change that is still on its way
 * stays, and so does the line that a policy was erased. Tells after each batch how many went.
 * @throws StorageError
 */
export async function* deleteOldCommands(storage: Storage, before: Date): AsyncGenerator<number> {
  const old = {
    at: { $lt: before },
    command: { $ne: ERASED },
    $or: [{ confirmed_at: { $ne: null } }, { rule: { $ne: null } }],
  };
  yield* inBatches(
    () => storage.readPage(() => storage.commands.find(old, ID).sort({ at: 1 }).limit(BATCH).toArray()),
    (ids) => storage.write('old commands', () => storage.commands.deleteMany({ _id: { $in: ids } })),
  );
}

/**
 * Deletes discrepancies that were found before `before`, but for those that are being healed, and those for which a policy asks for a
 * person still. Tells after each batch how many went.
 * @throws StorageError
 */
export async function* deleteOldDiscrepancies(storage: Storage, before: Date): AsyncGenerator<number> {
  for (let last: Place | undefined; ; ) {
    const old = { ...after(last), became: { $ne: 'healing' as const }, found_at: { $lt: before } };
    const projection = { policy: 1, became: 1, found_at: 1 } as const;
    const page = await storage.readPage(() =>
      storage.discrepancies.find(old, { projection }).sort({ found_at: 1, _id: 1 }).limit(BATCH).toArray(),
    );
    const left = page.filter(({ became }) => became === 'reported' || became === 'contested');
    const asking = left.length > 0 ? await askingFor(storage, left) : new Set<string>();
    const ids = page.filter((one) => !left.includes(one) || !asking.has(one.policy)).map(({ _id }) => _id);
    if (ids.length > 0)
      yield (await storage.write('old discrepancies', () => storage.discrepancies.deleteMany({ _id: { $in: ids } })))
        .deletedCount;
    if (page.length < BATCH) return;
    last = page.at(-1);
  }
}

type Place = { _id: string; found_at: Date };

function after(last: Place | undefined) {
  if (!last) return {};
  const { _id, found_at } = last;
  return { $or: [{ found_at: { $gt: found_at } }, { found_at, _id: { $gt: _id } }] };
}

/** Those of their policies that go on and differ, or may, or bear a mark: what was found is why. */
async function askingFor(storage: Storage, found: readonly { policy: string }[]): Promise<ReadonlySet<string>> {
  const such = {
    _id: { $in: [...new Set(found.map(({ policy }) => policy))] },
    end: null,
    $or: [
      { sync: { $in: ['DIVERGED' as const, 'HELD' as const, 'OBSERVED' as const] } },
      { 'attention.0': { $exists: true } },
    ],
  };
  const page = await storage.readPage(() => storage.policies.find(such, ID).toArray());
  return new Set(page.map(({ _id }) => _id));
}

/**
 * Policies that came to their own end before `before`, and those whose erasure was begun and has not come to its end, in the order of
 * `_id` after `last`: some of them.
 * @throws StorageError
 */
export async function endedBefore(
  storage: Storage,
  before: Date,
  last: string,
): Promise<{ _id: string; mchid: string; out_insurance_no: string }[]> {
  const ended = {
    _id: { $gt: last },
    $or: [
      { end: { $in: ['DECLINED' as const, 'INACTIVE' as const] }, ended_at: { $lt: before } },
      { end: 'ERASED' as const, 'erased.done_at': null },
    ],
  };
  const projection = { mchid: 1, out_insurance_no: 1 } as const;
  return storage.readAll(() => storage.policies.find(ended, { projection }).sort({ _id: 1 }).limit(BATCH).toArray());
}

const ID = { projection: { _id: 1 } } as const;

async function* inBatches(
  oldest: () => Promise<{ _id: string }[]>,
  remove: (ids: string[]) => Promise<{ deletedCount: number }>,
): AsyncGenerator<number> {
  for (;;) {
    const ids = (await oldest()).map(({ _id }) => _id);
    if (ids.length === 0) return;
    yield (await remove(ids)).deletedCount;
    if (ids.length < BATCH) return;
  }
}
