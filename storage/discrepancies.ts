import type { Keyring } from '../codec/keys.ts';
import { openField, sealField, type Unreadable } from '../codec/sealed_fields.ts';
import type { Discrepancy } from '../policy/entries.ts';
import type { Storage } from './connection.ts';
import type { StoredDiscrepancy } from './documents.ts';

/** What was not known before. */
export type FoundDiscrepancy = Pick<Discrepancy, 'field' | 'kind'>;
export type ReadDiscrepancy = StoredDiscrepancy & { unreadable: Unreadable[] };

/**
 * Records discrepancies of a policy, each once however often it is written. What became of one is settled once: a
 * write that comes late, and still has it healing, changes nothing.
 * @param of `policy` is the policy's `_id`
 * @returns those that were not there yet
 * @throws StorageError
 */
export async function writeDiscrepancies(
  storage: Storage,
  of: { policy: string; mchid: string; discrepancies: readonly Discrepancy[] },
): Promise<FoundDiscrepancy[]> {
  const { policy, mchid, discrepancies } = of;
  if (discrepancies.length === 0) return [];
  const settled_at = new Date();
  const writes = discrepancies.flatMap(({ id, field, kind, ours, theirs, found_at, became }) => {
    const _id = `${policy}/${id}`;
    const seal = (side: Side, value: unknown) => sealField(storage.keyring, field, value, place(_id, side));
    const values = { ours: seal('ours', ours), theirs: seal('theirs', theirs), found_at: new Date(found_at) };
    const found = { policy, mchid, field, kind, ...values, became: 'healing' as const, settled_at: null };
    const note = { updateOne: { filter: { _id }, update: { $setOnInsert: found }, upsert: true } };
    const settle = {
      updateOne: { filter: { _id, became: 'healing' as const }, update: { $set: { became, settled_at } } },
    };
    return became === 'healing' ? [note] : [note, settle];
  });
  const { upsertedIds } = await storage.write(`${policy}/discrepancies`, () => storage.discrepancies.bulkWrite(writes));
  const made = new Set(Object.values(upsertedIds));
  return discrepancies.filter(({ id }) => made.has(`${policy}/${id}`));
}

/**
 * The discrepancies of a policy, the newest first.
 * @throws StorageError
 */
export async function listDiscrepancies(storage: Storage, policy: string, limit: number): Promise<ReadDiscrepancy[]> {
  const found = await storage.read(() =>
    storage.discrepancies.find({ policy }).sort({ found_at: -1 }).limit(limit).toArray(),
  );
  return found.map((stored) => opened(storage.keyring, stored));
}

type Side = 'ours' | 'theirs';

/** Where a sealed value belongs; it opens nowhere else. */
function place(_id: string, side: Side): string {
  return `discrepancies/${_id}/${side}`;
}

function opened(keyring: Keyring | undefined, stored: StoredDiscrepancy): ReadDiscrepancy {
  const unreadable: Unreadable[] = [];
  const open = (side: Side) => openField(keyring, side, stored[side], place(stored._id, side), unreadable);
  // FerretDB's $setOnInsert leaves out nulls.
  const { settled_at = null } = stored;
  return { ...stored, settled_at, ours: open('ours'), theirs: open('theirs'), unreadable };
}
