import type { EventEntry } from '../policy/events.ts';
import { shortState } from '../policy/state.ts';
import type { Storage } from './connection.ts';
import type { StoredDelivery, StoredEvent } from './documents.ts';
import { isDuplicate } from './errors.ts';

/** So many are assigned at a time. */
const BATCH = 200;

/**
 * Appends events of a policy, the oldest first, each once however often it is written: by its id, and, once it may be deleted again,
 * by the sequence of the last that the policy's document knows.
 * @param written `policy` is the policy's `_id`
 * @throws StorageError
 */
export async function writeEvents(
  storage: Storage,
  written: { policy: string; mchid: string; out_insurance_no: string; events: readonly EventEntry[] },
): Promise<void> {
  const { events, ...of } = written;
  await storage.write(`${of.policy}/events`, async () => {
    const known = await storage.policies.findOne({ _id: of.policy }, { projection: { last_event: 1 } });
    const last = known?.last_event ?? 0;
    const writes = events
      .filter(({ sequence }) => sequence > last)
      .map(({ id: _id, type, sequence, at, ...told }) => {
        const event = { ...of, type, sequence, at: new Date(at), told, assigned: false };
        return { updateOne: { filter: { _id }, update: { $setOnInsert: event }, upsert: true } };
      });
    if (writes.length === 0) return;
    // In their order, so that whoever sees one has those before it.
    const write = () => storage.events.bulkWrite(writes, { ordered: true });
    try {
      await write();
    } catch (error) {
      if (!isDuplicate(error)) throw error;
      // Another worker wrote one of them between: it is there now.
      await write();
    }
  });
}

/**
 * The event of a stop that its workflow could not write any more, where others wait for events of the policy; once, however often.
 * @returns its sequence
 * @throws StorageError
 */
export async function writeStopped(
  storage: Storage,
  { _id, life }: { _id: string; life: string },
  when: Date,
): Promise<number | undefined> {
  const told = { _id, life, end: null, last_event: { $gt: 0 } };
  const found = await storage.read(() => storage.policies.findOne(told));
  if (!found) return undefined;
  const { mchid, out_insurance_no, revision, synced_revision, last_event = 0 } = found;
  const at = when.getTime();
  const sequence = Math.max(last_event, await lastOf(storage, life)) + 1;
  const end = { type: 'policy.ended' as const, sync: 'STOPPED' as const, end: 'STOPPED' as const };
  const event = { id: `${life}_stopped`, state: shortState(found.policy_state), revision, synced_revision, ...end };
  await writeEvents(storage, { policy: _id, mchid, out_insurance_no, events: [{ ...event, sequence, at }] });
  return sequence;
}

/** The sequence of a life's last event in `events`, which its record may not know of; 0 where there is none. */
async function lastOf(storage: Storage, life: string): Promise<number> {
  // Ids end in sequences; `:` comes after all digits.
  const its = { _id: { $gt: `${life}_`, $lt: `${life}_:` } };
  const last = await storage.read(() => storage.events.find(its).sort({ sequence: -1 }).limit(1).next());
  return last?.sequence ?? 0;
}

/**
 * Makes a delivery of each event for each endpoint that wants it, the oldest first. Killed in between it is done again, and makes no second one.
 * @param wantedBy names of endpoints
 * @param now by MongoDB's clock
 * @returns of how many events
 * @throws StorageError
 */
export async function assignEvents(
  storage: Storage,
  wantedBy: (event: StoredEvent) => readonly string[],
  now: Date,
): Promise<number> {
  const found = await storage.readPage(() =>
    storage.events.find({ assigned: false }).sort({ sequence: 1 }).limit(BATCH).toArray(),
  );
  if (found.length === 0) return 0;
  const writes = found.flatMap((event) =>
    wantedBy(event).map((endpoint) => {
      const { _id, ...delivery } = deliveryOf(event, endpoint, now);
      return { updateOne: { filter: { _id }, update: { $setOnInsert: delivery }, upsert: true } };
    }),
  );
  await storage.write('events', async () => {
    if (writes.length > 0) await storage.deliveries.bulkWrite(writes, { ordered: true });
    await storage.events.updateMany({ _id: { $in: found.map(({ _id }) => _id) } }, { $set: { assigned: true } });
  });
  return found.length;
}

function deliveryOf({ _id: event, assigned: _known, ...what }: StoredEvent, endpoint: string, now: Date) {
  const waiting = { state: 'waiting' as const, attempts: 0, since: now, due_at: now };
  return { _id: `${endpoint}/${event}`, endpoint, event, ...what, ...waiting } satisfies StoredDelivery;
}

/**
 * Deletes the events that came, and the deliveries that began, before `before`, whatever became of them. Tells after each batch how many
 * deliveries went.
 * @throws StorageError
 */
export async function* deleteOldEvents(storage: Storage, before: Date): AsyncGenerator<number> {
  const { events, deliveries } = storage;
  const find = { projection: { _id: 1 }, limit: BATCH };
  const idsOf = (found: { _id: string }[]) => ({ _id: { $in: found.map(({ _id }) => _id) } });
  for (;;) {
    const old = await storage.readPage(() => events.find({ assigned: true, at: { $lt: before } }, find).toArray());
    await storage.write('events', () => events.deleteMany(idsOf(old)));
    yield 0;
    if (old.length < BATCH) break;
  }
  for (;;) {
    const old = await storage.readPage(() => deliveries.find({ since: { $lt: before } }, find).toArray());
    yield (await storage.write('deliveries', () => deliveries.deleteMany(idsOf(old)))).deletedCount;
    if (old.length < BATCH) return;
  }
}
