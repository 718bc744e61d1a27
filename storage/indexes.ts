import type { IndexSpecification } from 'mongodb';

export const INDEXES: Record<
  'policies' | 'calls' | 'discrepancies' | 'commands' | 'events' | 'deliveries',
  IndexSpecification[]
> = {
  policies: [
    { policy_state: 1, _id: 1 },
    { sync: 1, _id: 1 },
    { policy_type: 1, _id: 1 },
    { 'record.policy.expired_time': 1, _id: 1 },
    { attention: 1, _id: 1 },
    // What metrics count and look for; the first has all that they count.
    { sync: 1, policy_state: 1, end: 1 },
    { end: 1, sync: 1, next_verification_at: 1 },
    { end: 1, verified_at: 1 },
    { namespace: 1, _id: 1 },
  ],
  calls: [{ policy: 1, at: -1 }],
  discrepancies: [
    { policy: 1, found_at: -1 },
    { found_at: 1, _id: 1 },
  ],
  commands: [
    { policy: 1, at: -1 },
    { at: 1, _id: 1 },
  ],
  events: [
    { assigned: 1, sequence: 1 },
    { at: 1, _id: 1 },
  ],
  deliveries: [
    { endpoint: 1, state: 1, due_at: 1 },
    { endpoint: 1, policy: 1, state: 1, sequence: 1 },
    { state: 1, at: 1 },
    { since: 1, _id: 1 },
  ],
};

/** The collections that have indexes. */
type Indexed = Record<keyof typeof INDEXES, { createIndex(index: IndexSpecification): Promise<unknown> }>;

/**
 * Indexes for what `list`, `show` and reports ask; `_id` serves every write. Plain ones only: FerretDB has no partial
 * and no TTL indexes. Creating one that is there does nothing. One a command: FerretDB 1.24 panics at a command of
 * several that are there already.
 */
export async function createIndexes(collections: Indexed): Promise<void> {
  for (const [name, indexes] of Object.entries(INDEXES) as [keyof Indexed, IndexSpecification[]][])
    for (const index of indexes) await collections[name].createIndex(index);
}
