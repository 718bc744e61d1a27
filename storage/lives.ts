import type { Storage } from './connection.ts';
import { FINDING_KINDS, type StoredPolicy } from './documents.ts';
import { writeStopped } from './events.ts';

/** Which life keeps a policy: what an audit compares with Temporal. */
export type Life = Pick<StoredPolicy, '_id' | 'mchid' | 'out_insurance_no' | 'life'>;

const PAGE = 200;
const PARTS = { _id: 1, mchid: 1, out_insurance_no: 1, life: 1 } as const;

/**
 * Policies whose record knows no end, a page at a time in the order of `_id`.
 * @throws StorageError
 */
export function unendedLives(storage: Storage): AsyncGenerator<Life[]> {
  return pages(storage, { end: null });
}

/**
 * Policies whose workflow was cancelled, and that nobody has resumed since.
 * @throws StorageError
 */
export function stoppedLives(storage: Storage): AsyncGenerator<Life[]> {
  return pages(storage, { sync: 'STOPPED', end: 'STOPPED' });
}

/**
 * Policies whose erasure has begun, and not come to its end.
 * @throws StorageError
 */
export function halfErased(storage: Storage): AsyncGenerator<Life[]> {
  return pages(storage, { end: 'ERASED', 'erased.done_at': null });
}

type Which = Partial<Pick<StoredPolicy, 'end' | 'sync'>> & { 'erased.done_at'?: null };

async function* pages(storage: Storage, which: Which): AsyncGenerator<Life[]> {
  for (let last = ''; ; ) {
    const page = await storage.readAll(() =>
      storage.policies
        .find({ ...which, _id: { $gt: last } }, { projection: PARTS })
        .sort({ _id: 1 })
        .limit(PAGE)
        .toArray(),
    );
    yield page;
    if (page.length < PAGE) return;
    last = page.at(-1)?._id ?? last;
  }
}

/**
 * Whether the record still says that this life goes on.
 * @throws StorageError
 */
export async function goesOn(storage: Storage, { _id, life }: Life): Promise<boolean> {
  return (await storage.read(() => storage.policies.findOne({ _id, life, end: null }, { projection: PARTS }))) !== null;
}

/**
 * The ids among these whose record says that a life goes on.
 * @throws StorageError
 */
export async function recorded(storage: Storage, ids: readonly string[]): Promise<Set<string>> {
  const found = await storage.readAll(() =>
    storage.policies.find({ _id: { $in: [...ids] }, end: null }, { projection: PARTS }).toArray(),
  );
  return new Set(found.map(({ _id }) => _id));
}

/**
 * The life that has the record; undefined where there is none.
 * @throws StorageError
 */
export async function lifeOnRecord(storage: Storage, _id: string): Promise<string | undefined> {
  return (await storage.read(() => storage.policies.findOne({ _id }, { projection: PARTS })))?.life;
}

/**
 * Gives the record of one life to another, which is known to go on: the workflow is the authority.
 * @throws StorageError
 */
export async function giveRecord(storage: Storage, _id: string, from: string, to: string): Promise<void> {
  const anew = { life: to, end: null, ended_at: null, updated_at: new Date() };
  const change = { $set: anew, $unset: { ended_by: '' as const } };
  const of = { _id, life: from, erased: { $exists: false } };
  await storage.write(_id, () => storage.policies.updateOne(of, change));
}

/**
 * The number of the merchant's policy after `number`, in their order and then from the first again, of those that WeChat
 * Pay has once confirmed; undefined where there is none.
 * @throws StorageError
 */
export async function nextConfirmed(storage: Storage, mchid: string, number: string): Promise<string | undefined> {
  const first = (range: object) =>
    storage.readPage(() =>
      storage.policies
        .find({ _id: range, synced_revision: { $gt: 0 } }, { projection: PARTS })
        .sort({ _id: 1 })
        .limit(1)
        .next(),
    );
  // A number has letters and digits only, and `~` comes after all of them.
  const found =
    (await first({ $gt: `${mchid}/${number}`, $lt: `${mchid}/~` })) ??
    (await first({ $gt: `${mchid}/`, $lt: `${mchid}/~` }));
  return found?.out_insurance_no;
}

/**
 * A Temporal namespace other than `own` that a record names as the one that keeps its policy; undefined where none does.
 * @throws StorageError
 */
export async function otherNamespace(storage: Storage, own: string): Promise<string | undefined> {
  const query = { namespace: namedOtherThan(own) };
  const found = await storage.readAll(() => storage.policies.findOne(query, { projection: { namespace: 1 } }));
  return found?.namespace;
}

/**
 * Has the records of ended policies name `own`, whatever they named: whoever restarts one does so there.
 * @throws StorageError
 */
export async function adoptEnded(storage: Storage, own: string): Promise<void> {
  const query = { namespace: namedOtherThan(own), end: { $ne: null } };
  await storage.readAll(() => storage.policies.updateMany(query, { $set: { namespace: own } }));
}

/** Records of before 0.2 name none. */
function namedOtherThan(own: string) {
  return { $exists: true, $ne: own };
}

/**
 * Writes that a life was stopped, where its record knows no end yet; and that its workflow did not write it.
 * @throws StorageError
 */
export async function recordStop(storage: Storage, { _id, life }: Life): Promise<void> {
  const at = await storage.clock();
  const told = await writeStopped(storage, { _id, life }, at);
  const stopped = { end: 'STOPPED' as const, sync: 'STOPPED' as const, ended_at: at, updated_at: at };
  const change = { $set: { ...stopped, ended_by: 'audit' as const, ...(told !== undefined && { last_event: told }) } };
  await storage.write(_id, () => storage.policies.updateOne({ _id, life, end: null }, change));
}

/**
 * How many policies ask for a person: out of step by kind, marked, of a merchant that is held, or found by the last audit.
 * @throws StorageError
 */
export async function countAttention(storage: Storage): Promise<Record<string, number>> {
  const { policies, findings, merchants } = storage;
  const count = (query: Record<string, unknown>) => policies.countDocuments({ end: null, ...query });
  return storage.readPage(async () => {
    const kinds: [string, Promise<number>][] = [
      ...(['RETRYING', 'BLOCKED', 'DIVERGED'] as const).map((sync): [string, Promise<number>] => [
        sync.toLowerCase(),
        count({ sync }),
      ]),
      // Not from the findings: those are as old as the last audit.
      ['stopped', policies.countDocuments({ sync: 'STOPPED', end: 'STOPPED' })],
      ['marked', count({ attention: { $gt: '' } })],
      ['merchant-held', merchants.countDocuments({})],
      ...FINDING_KINDS.filter((kind) => kind !== 'stopped').map((kind): [string, Promise<number>] => [
        kind,
        findings.countDocuments({ kind }),
      ]),
    ];
    return Object.fromEntries(await Promise.all(kinds.map(async ([kind, counted]) => [kind, await counted])));
  });
}
