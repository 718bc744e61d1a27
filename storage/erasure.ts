import { sealField, withoutPersonal } from '../codec/sealed_fields.ts';
import { isPersonal } from '../policy/fields.ts';
import type { Storage } from './connection.ts';
import type { StoredCommand, StoredPolicy } from './documents.ts';
import { isDuplicate } from './errors.ts';

// Each step may be done again, whatever came of the one before: an erasure that was killed is begun anew, and finishes.

/** The life of an erased record: no workflow has it, so none may write. */
export const NO_LIFE = 'erased';
/** The command of the line that is left. */
export const ERASED = 'erased';
const PAGE = 100;

/** What an erasure is decided by. */
export type Standing = Pick<
  StoredPolicy,
  '_id' | 'life' | 'namespace' | 'revision' | 'synced_revision' | 'policy_state' | 'sync' | 'end' | 'erased'
>;

/**
 * How the policy stands by its record; null where there is none.
 * @throws StorageError
 */
export function standingOf(storage: Storage, _id: string): Promise<Standing | null> {
  const numbers = { revision: 1, synced_revision: 1 };
  const projection = { life: 1, namespace: 1, ...numbers, policy_state: 1, sync: 1, end: 1, erased: 1 };
  return storage.read(() => storage.policies.findOne({ _id }, { projection }));
}

/** Outcomes after which nothing of an attempt takes effect later. */
const KNOWN = ['confirmed', 'no-effect', 'refused', 'merchant'];

/**
 * Whether a PATCH or POST was made within the last `landing` ms, by MongoDB's clock, of which nobody knows what became; it may take
 * effect yet, whatever was confirmed since.
 * @throws StorageError
 */
export async function mayLand(storage: Storage, policy: string, landing: number): Promise<boolean> {
  const since = new Date((await storage.clock()).getTime() - landing);
  // Of attempts that MongoDB missed there is a summary, which does not say of which kind they were.
  const open = { policy, at: { $gt: since }, method: { $ne: 'GET' }, outcome: { $nin: KNOWN } };
  return (await storage.read(() => storage.calls.findOne(open, { projection: { _id: 1 } }))) !== null;
}

/**
 * Empties the record, and ends its life for good: from now on nothing restarts it, and nothing is written to it. False where it is
 * not as it was when that was decided.
 * @throws StorageError
 */
export async function emptyRecord(storage: Storage, { _id, life, revision, sync, end }: Standing): Promise<boolean> {
  const as = { _id, life, revision, sync, end };
  return storage.write(_id, async () => {
    const found = await storage.policies.findOne(as);
    if (!found) return false;
    const at = new Date();
    const { upload: _upload, ...record } = found.record;
    const kept = {
      record: { ...record, policy: withoutPersonal(record.policy as Record<string, unknown>) },
      remote: found.remote && withoutPersonal(found.remote),
    };
    const nothing = { carried: null, digest: null, version: null, block: null, due: null, cancellation: null };
    const over = { life: NO_LIFE, end: 'ERASED' as const, sync: 'STOPPED' as const, next_verification_at: null };
    const change = {
      ...kept,
      ...nothing,
      ...over,
      attention: [],
      ended_at: at,
      updated_at: at,
      erased: { at, done_at: null },
    };
    const { matchedCount } = await storage.policies.updateOne(as, { $set: change });
    return matchedCount > 0;
  });
}

/**
 * Takes out of the policy's commands who asked and why, the id of the event, and personal values.
 * @returns how many commands it has
 * @throws StorageError
 */
export async function emptyCommands(storage: Storage, policy: string): Promise<number> {
  const its = { policy, command: { $ne: ERASED } };
  return eachPage(
    (last) =>
      storage.readPage(() =>
        storage.commands
          .find({ ...its, _id: { $gt: last } })
          .sort({ _id: 1 })
          .limit(PAGE)
          .toArray(),
      ),
    async ({ _id, before, after }) => {
      const emptied = {
        by: null,
        reason: null,
        event_id: null,
        before: withoutPersonal(before),
        after: withoutPersonal(after),
      };
      await storage.write(`${policy}/commands`, () => storage.commands.updateOne({ _id }, { $set: emptied }));
    },
  );
}

/**
 * Takes personal values out of the policy's discrepancies.
 * @returns how many it has
 * @throws StorageError
 */
export async function emptyDiscrepancies(storage: Storage, policy: string): Promise<number> {
  return eachPage(
    (last) =>
      storage.readPage(() =>
        storage.discrepancies
          .find({ policy, _id: { $gt: last } }, { projection: { field: 1 } })
          .sort({ _id: 1 })
          .limit(PAGE)
          .toArray(),
      ),
    async ({ _id, field }) => {
      if (!isPersonal(field)) return;
      await storage.write(`${policy}/discrepancies`, () =>
        storage.discrepancies.updateOne({ _id }, { $unset: { ours: '', theirs: '' } }),
      );
    },
  );
}

async function eachPage<T extends { _id: string }>(
  pageAfter: (last: string) => Promise<T[]>,
  work: (one: T) => Promise<void>,
): Promise<number> {
  let count = 0;
  for (let last = ''; ; ) {
    const page = await pageAfter(last);
    for (const one of page) await work(one);
    count += page.length;
    if (page.length < PAGE) return count;
    last = page.at(-1)?._id ?? last;
  }
}

/**
 * Keeps in `commands` that the policy was erased, when, and who had it done.
 * @throws StorageError
 */
export async function noteErasure(
  storage: Storage,
  { policy, mchid, by, revision, at }: { policy: string; mchid: string; by: string; revision: number; at: Date },
): Promise<void> {
  const _id = `${policy}/${ERASED}`;
  const nothing = { event_id: null, version: null, cause: null, reason: null, business_date: null, rule: null };
  const line: StoredCommand = {
    ...{ _id, policy, mchid, command: ERASED, revision, at, before: {}, after: {} },
    ...nothing,
    by: sealField(storage.keyring, 'by', by, `commands/${_id}/by`),
    ...{ confirmed_at: null, request_id: null },
  };
  await storage.write(`${policy}/commands`, async () => {
    try {
      await storage.commands.insertOne(line);
    } catch (error) {
      if (!isDuplicate(error)) throw error;
    }
  });
}

/**
 * Nothing of it is left anywhere.
 * @throws StorageError
 */
export async function closeErasure(storage: Storage, _id: string): Promise<Date> {
  const done_at = new Date();
  await storage.write(_id, () =>
    storage.policies.updateOne({ _id, 'erased.done_at': null }, { $set: { 'erased.done_at': done_at } }),
  );
  return done_at;
}
