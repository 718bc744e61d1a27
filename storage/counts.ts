import type { PolicyState, Sync } from '../policy/state.ts';
import type { Storage } from './connection.ts';
import type { StoredPolicy } from './documents.ts';
import { grouped } from './grouped.ts';

/** The fleet in numbers: policies whose life goes on. */
export interface Counts {
  policies: { policy_state: PolicyState; sync: Sync; count: number }[];
  /** BLOCKED policies by the code of their block. */
  blocked: { code: string; count: number }[];
  /** When the oldest change was accepted that waits for WeChat Pay; null where none waits. */
  pending_since: Date | null;
  /** When the policy that was verified longest ago was verified; null where none has been. */
  verified_at: Date | null;
  /** When the verification was due that is the latest of those that have not come; null where none is late. */
  verification_due: Date | null;
}

/** So many of those that wait are looked at for the oldest change: of an import of a whole fleet not all. */
const WAITING = 2_000;
const PAGE = 500;

/**
 * Counts by indexes: of a large fleet no document is read, but for those that are BLOCKED or wait.
 * @throws StorageError
 */
export async function countPolicies(storage: Storage): Promise<Counts> {
  // One after the other: whoever records calls shares the connections.
  // `end` is told apart here: asked for in the query, its null would have MongoDB read every document.
  const standing = { sync: '$sync', policy_state: '$policy_state', end: '$end' };
  const groups = await grouped<Group>(storage, storage.readPage, { sync: { $gt: '' } }, standing);
  const blocked = await grouped<string | null>(
    storage,
    storage.readPage,
    { sync: 'BLOCKED', end: null },
    '$block.code',
  );
  return {
    policies: groups
      .filter(({ of }) => of.end == null)
      .map(({ of: { end: _, ...of }, policies }) => ({ ...of, count: policies })),
    blocked: blocked.map(({ of, policies }) => ({ code: of ?? 'unknown', count: policies })),
    pending_since: await oldestChange(storage),
    verified_at: await earliest(storage, 'verified_at', {}),
    // Others wait for a person, or for a change that is on its way.
    verification_due: await earliest(storage, 'next_verification_at', { sync: 'SYNCED' }),
  };
}

/** The earliest of these times of policies that go on, of those that are over. */
async function earliest(
  { policies, readPage }: Storage,
  time: 'verified_at' | 'next_verification_at',
  which: { sync?: Sync },
): Promise<Date | null> {
  const query = { end: null, ...which, [time]: { $gt: new Date(0), $lt: new Date() } };
  const found = await readPage(() =>
    policies
      .find(query, { projection: { [time]: 1 } })
      .sort({ [time]: 1 })
      .limit(1)
      .next(),
  );
  return found?.[time] ?? null;
}

interface Group {
  policy_state: PolicyState;
  sync: Sync;
  end?: string | null;
}

async function oldestChange(storage: Storage): Promise<Date | null> {
  let oldest: Date | null = null;
  let left = WAITING;
  for (const sync of ['RETRYING', 'PENDING'] as const)
    for (let last = ''; left > 0; ) {
      const page = await storage.readPage(() =>
        storage.policies
          .find({ sync, end: null, _id: { $gt: last } }, { projection: { synced_revision: 1 } })
          .sort({ _id: 1 })
          .limit(PAGE)
          .toArray(),
      );
      const first = page.length > 0 && (await storage.readPage(() => firstWaiting(storage, page)));
      if (first && (!oldest || first.at < oldest)) oldest = first.at;
      left -= page.length;
      last = page.at(-1)?._id ?? last;
      if (page.length < PAGE) break;
    }
  return oldest;
}

/** A change whose confirmation MongoDB missed waits for nothing. */
async function firstWaiting({ commands }: Storage, page: Pick<StoredPolicy, '_id' | 'synced_revision'>[]) {
  const synced = new Map(page.map(({ _id, synced_revision }) => [_id, synced_revision]));
  const among = { policy: { $in: [...synced.keys()] }, confirmed_at: null, rule: null };
  const waiting = commands.find(among, { projection: { policy: 1, revision: 1, at: 1 } }).sort({ at: 1 });
  for await (const one of waiting) if (one.revision > (synced.get(one.policy) ?? 0)) return one;
  return undefined;
}
