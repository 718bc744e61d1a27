import type { End, PolicyState, Sync } from '../policy/state.ts';
import type { Storage } from './connection.ts';
import type { StoredDiscrepancy, StoredPolicy } from './documents.ts';
import { type Grouped, grouped } from './grouped.ts';

// What a report counts. Each looks at whole collections, so it has a minute; `mchid` undefined: of all merchants.
// $group knows sums alone on FerretDB 1.24, so the oldest of a kind are found by sorting.

const PAGE = 200;

/**
 * Policies that go on, by the state that is wanted and by sync.
 * @throws StorageError
 */
export function countLiving(
  storage: Storage,
  mchid: string | undefined,
): Promise<Grouped<{ policy_state: PolicyState; sync: Sync }>[]> {
  return grouped(
    storage,
    storage.readAll,
    { ...ofMerchant(mchid), end: null },
    { policy_state: '$policy_state', sync: '$sync' },
  );
}

/**
 * Policies whose life is over, by how it ended.
 * @throws StorageError
 */
export function countEnded(storage: Storage, mchid: string | undefined): Promise<Grouped<End>[]> {
  return grouped(storage, storage.readAll, { ...ofMerchant(mchid), end: { $ne: null } }, '$end');
}

/**
 * Policies that are BLOCKED, by WeChat Pay's code or ours, the most frequent first.
 * @throws StorageError
 */
export async function countBlocked(storage: Storage, mchid: string | undefined): Promise<Grouped<string>[]> {
  const found = await grouped<string>(
    storage,
    storage.readAll,
    { ...ofMerchant(mchid), end: null, sync: 'BLOCKED' },
    '$block.code',
  );
  return found.sort((a, b) => b.policies - a.policies);
}

/** Differences of one field: what they were, and what became of them. */
export interface CountedDrift extends Pick<StoredDiscrepancy, 'field' | 'kind' | 'became'> {
  differences: number;
}

/**
 * Differences found since `since`, the most frequent first.
 * @throws StorageError
 */
export async function countDrift(storage: Storage, mchid: string | undefined, since: Date): Promise<CountedDrift[]> {
  const found = await storage.readAll(() =>
    storage.discrepancies
      .aggregate<{ _id: Omit<CountedDrift, 'differences'>; n: number }>([
        { $match: { ...ofMerchant(mchid), found_at: { $gte: since } } },
        { $group: { _id: { field: '$field', kind: '$kind', became: '$became' }, n: { $sum: 1 } } },
      ])
      .toArray(),
  );
  return found.map(({ _id, n }) => ({ ..._id, differences: n })).sort((a, b) => b.differences - a.differences);
}

export interface CountedVerifications {
  /** WeChat Pay was never found to hold everything as it should. */
  never: number;
  /** How many were last found so within each span, in ms, and not within the one before; `null`: longer ago than all. */
  within: { span: number | null; policies: number }[];
  /** The next verification has been due for more than an hour. */
  overdue: number;
  /** Whose last verification is the longest ago, `never` apart. */
  oldest: (PolicyOf & { verified_at: Date }) | null;
}

type PolicyOf = Pick<StoredPolicy, 'mchid' | 'out_insurance_no'>;

const OVERDUE_MS = 60 * 60 * 1000;

/**
 * How old the last verification is of policies that go on, and have one: one on hold has none due.
 * @param spans in ms, the shortest first
 * @throws StorageError
 */
export async function countVerifications(
  storage: Storage,
  mchid: string | undefined,
  spans: readonly number[],
  now: Date,
): Promise<CountedVerifications> {
  const of = { ...ofMerchant(mchid), end: null };
  const count = (query: object): Promise<number> =>
    storage.readAll(() => storage.policies.countDocuments({ ...of, ...query }));
  const ago = (ms: number): Date => new Date(now.getTime() - ms);
  const within: CountedVerifications['within'] = [];
  for (const [at, span] of [...spans, null].entries()) {
    const before = at === 0 ? {} : { $lt: ago(spans[at - 1] ?? 0) };
    const range = { ...(span !== null && { $gte: ago(span) }), ...before };
    within.push({ span, policies: await count({ verified_at: range }) });
  }
  const oldest = await storage.readAll(() =>
    storage.policies
      .find({ ...of, verified_at: { $ne: null } }, { projection: { mchid: 1, out_insurance_no: 1, verified_at: 1 } })
      .sort({ verified_at: 1 })
      .limit(1)
      .next(),
  );
  return {
    never: await count({ verified_at: null }),
    within,
    overdue: await count({ sync: { $ne: 'HELD' }, next_verification_at: { $lt: ago(OVERDUE_MS) } }),
    oldest: oldest?.verified_at
      ? { mchid: oldest.mchid, out_insurance_no: oldest.out_insurance_no, verified_at: oldest.verified_at }
      : null,
  };
}

/** A change that WeChat Pay is not yet known to hold. */
export interface Waiting extends PolicyOf {
  sync: Sync;
  command: string;
  revision: number;
  at: Date;
}

/**
 * The policies whose oldest change has waited longest for WeChat Pay to confirm it, of lives that go on.
 * @throws StorageError
 */
export async function oldestWaiting(storage: Storage, mchid: string | undefined, limit: number): Promise<Waiting[]> {
  const found = new Map<string, Waiting>();
  for (let skip = 0; found.size < limit; skip += PAGE) {
    const page = await storage.readAll(() =>
      storage.commands
        .find({ ...ofMerchant(mchid), confirmed_at: null, rule: null }, { projection: WAITING_PARTS })
        .sort({ at: 1, _id: 1 })
        .skip(skip)
        .limit(PAGE)
        .toArray(),
    );
    const ids = [...new Set(page.map(({ policy }) => policy))];
    const policies = await storage.readAll(() =>
      storage.policies.find({ _id: { $in: ids }, end: null }, { projection: POLICY_PARTS }).toArray(),
    );
    const byId = new Map(policies.map((one) => [one._id, one]));
    for (const { policy, command, revision, at } of page) {
      const of = byId.get(policy);
      // A life that has ended waits for nothing, nor does a change whose confirmation MongoDB missed.
      if (!of || of.synced_revision >= revision || found.has(policy) || found.size === limit) continue;
      const { mchid: merchant, out_insurance_no, sync } = of;
      found.set(policy, { mchid: merchant, out_insurance_no, sync, command, revision, at });
    }
    if (page.length < PAGE) break;
  }
  return [...found.values()];
}

const WAITING_PARTS = { policy: 1, command: 1, revision: 1, at: 1 } as const;
const POLICY_PARTS = { mchid: 1, out_insurance_no: 1, sync: 1, synced_revision: 1 } as const;

function ofMerchant(mchid: string | undefined): { mchid?: string } {
  return mchid === undefined ? {} : { mchid };
}
