import type { End, PolicyState, Sync } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import type { Storage } from './connection.ts';
import { opened, type ReadPolicy } from './policies.ts';

/** Every condition given must hold. */
export interface PolicyFilter {
  mchid?: string;
  /** Of one of these. */
  mchids?: readonly string[];
  policy_state?: PolicyState;
  policy_type?: string;
  sync?: Sync;
  /** Cover ends before this instant. */
  expires_before?: Date;
  /** Something asks for a person: of a life that goes on, for nobody can take a mark off one that is over. */
  attention?: boolean;
  /** The record bears this mark. */
  mark?: string;
  /** Out of step, stopped, or marked. */
  asks_for_person?: boolean;
  /** How the life ended; null: it goes on. */
  end?: End | null;
}

/** FerretDB reads the whole collection for each page. */
const PAGE = 1_000;

/**
 * Policies in the order of `_id`, at most `limit`, from the one after `after` on; a page at a time, so a list of any
 * length holds no cursor open.
 * @throws StorageError
 */
export async function* listPolicies(
  storage: Storage,
  filter: PolicyFilter,
  { limit = Number.POSITIVE_INFINITY, after = '' }: { limit?: number; after?: string } = {},
): AsyncGenerator<ReadPolicy> {
  const query = queryOf(filter);
  // Nobody sits before the pages of a whole fleet, and FerretDB may take long for each.
  const read = limit < PAGE ? storage.readPage : storage.readAll;
  for (let left = limit, last = after; left > 0; ) {
    const size = Math.min(left, PAGE);
    const page = await read(() =>
      storage.policies
        .find({ ...query, _id: idsAfter(last, filter.mchid) })
        .sort({ _id: 1 })
        .limit(size)
        .toArray(),
    );
    for (const found of page) yield opened(storage.keyring, found);
    left = page.length < size ? 0 : left - size;
    last = page.at(-1)?._id ?? last;
  }
}

/** Of one merchant the ids lie together: `0` comes after the `/` that follows the merchant. */
function idsAfter(last: string, mchid: string | undefined): { $gt: string; $lt?: string } {
  if (mchid === undefined) return { $gt: last };
  return { $gt: last > `${mchid}/` ? last : `${mchid}/`, $lt: `${mchid}0` };
}

const OUT_OF_STEP: readonly Sync[] = ['RETRYING', 'BLOCKED', 'DIVERGED', 'STOPPED'];

function queryOf({
  expires_before,
  attention,
  mark,
  mchids,
  asks_for_person,
  ...equal
}: PolicyFilter): Record<string, unknown> {
  const given = Object.entries(equal).filter(([, value]) => value !== undefined);
  return {
    ...Object.fromEntries(given),
    // Stored times are all in +08:00 and of one length: as text they sort like the instants.
    ...(expires_before && { 'record.policy.expired_time': { $lt: wireTime(expires_before.getTime()) } }),
    ...(attention === undefined ? {} : { 'attention.0': { $exists: attention } }),
    ...(attention && { end: null }),
    ...(mark !== undefined && { attention: mark }),
    ...(mchids && { mchid: { $in: [...mchids], ...(equal.mchid !== undefined && { $eq: equal.mchid }) } }),
    // One that was erased is over for good, and asks for nobody.
    ...(asks_for_person && {
      end: { $ne: 'ERASED' },
      $or: [{ sync: { $in: OUT_OF_STEP } }, { 'attention.0': { $exists: true }, end: null }],
    }),
  };
}
