import type { PolicyState, Sync } from '../policy/state.ts';
import type { Storage } from './connection.ts';
import { grouped } from './grouped.ts';

/** How many policies stand so. */
export interface Count {
  policy_state: PolicyState;
  sync: Sync;
  /** Its life is over. */
  ended: boolean;
  policies: number;
}

/**
 * How many policies there are of each state and sync, of these merchants or of all.
 * @throws StorageError
 */
export async function countByStanding(storage: Storage, mchids?: readonly string[]): Promise<Count[]> {
  const which = mchids === undefined ? {} : { mchid: { $in: [...mchids] } };
  type Key = Omit<Count, 'ended' | 'policies'> & { end: string | null };
  const standing = { policy_state: '$policy_state', sync: '$sync', end: '$end' };
  const found = await grouped<Key>(storage, storage.readPage, which, standing);
  const counts = new Map<string, Count>();
  for (const { of, policies } of found) {
    const { policy_state, sync, end } = of;
    const ended = end !== null && end !== undefined;
    const key = `${policy_state}/${sync}/${ended}`;
    counts.set(key, { policy_state, sync, ended, policies: policies + (counts.get(key)?.policies ?? 0) });
  }
  return [...counts.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, count]) => count);
}
