import type { EventType } from '../policy/events.ts';
import type { Storage } from './connection.ts';
import { DELIVERY_STATES, type DeliveryState, type StoredDelivery } from './documents.ts';

const PAGE = 200;

/**
 * Policies of which something is due at the endpoint, those that have waited longest first.
 * @param now by MongoDB's clock
 * @param active policies that are being delivered: the backlog of one hides no other
 * @throws StorageError
 */
export async function policiesDue(
  storage: Storage,
  endpoint: string,
  now: Date,
  active: readonly string[] = [],
): Promise<string[]> {
  const others = active.length > 0 && { policy: { $nin: [...active] } };
  const due = { endpoint, state: 'waiting' as const, due_at: { $lte: now }, ...others };
  const found = await storage.readPage(() =>
    storage.deliveries
      .find(due, { projection: { policy: 1 } })
      .sort({ due_at: 1 })
      .limit(PAGE)
      .toArray(),
  );
  return [...new Set(found.map(({ policy }) => policy))];
}

/**
 * What waits of a policy at the endpoint, in the order in which it is delivered.
 * @throws StorageError
 */
export async function waitingOf(storage: Storage, endpoint: string, policy: string): Promise<StoredDelivery[]> {
  const waiting = { endpoint, policy, state: 'waiting' as const };
  return storage.read(() => storage.deliveries.find(waiting).sort({ sequence: 1 }).limit(PAGE).toArray());
}

/**
 * Says what became of a delivery that waits. What is settled stays so: a worker that had stood still comes late with its own.
 * @throws StorageError
 */
export async function settleDelivery(
  storage: Storage,
  { _id }: StoredDelivery,
  became: Pick<StoredDelivery, 'state' | 'attempts' | 'tried_at'> & { reason?: string },
): Promise<void> {
  const waiting = { _id, state: 'waiting' as const };
  await storage.write(`deliveries/${_id}`, () => storage.deliveries.updateOne(waiting, { $set: became }));
}

/**
 * A delivery that was not taken is tried again at `due_at`, and what waits behind it of the same policy not before.
 * @throws StorageError
 */
export async function postpone(
  storage: Storage,
  { _id, endpoint, policy }: StoredDelivery,
  { due_at, ...tried }: Pick<StoredDelivery, 'due_at' | 'attempts' | 'tried_at'> & { reason?: string },
): Promise<void> {
  const behind = { endpoint, policy, state: 'waiting' as const, due_at: { $lt: due_at } };
  await storage.write(`deliveries/${_id}`, async () => {
    await storage.deliveries.updateMany(behind, { $set: { due_at } });
    await storage.deliveries.updateOne({ _id }, { $set: { ...tried, due_at } });
  });
}

/** Every condition given must hold. */
export interface DeliveryFilter {
  states: readonly DeliveryState[];
  endpoint?: string | undefined;
  mchid?: string | undefined;
  /** `_id` of the policy. */
  policy?: string | undefined;
  type?: EventType | undefined;
}

/**
 * Deliveries in the order of their events, at most `limit`.
 * @throws StorageError
 */
export async function listDeliveries(
  storage: Storage,
  filter: DeliveryFilter,
  limit: number,
): Promise<StoredDelivery[]> {
  return storage.readPage(() =>
    storage.deliveries.find(queryOf(filter)).sort({ at: 1, _id: 1 }).limit(limit).toArray(),
  );
}

/**
 * Has deliveries sent again, from now on for as long as new ones are tried. The earliest event of a policy goes first.
 * @returns how many
 * @throws StorageError
 */
export async function sendAgain(storage: Storage, filter: DeliveryFilter): Promise<number> {
  const now = await storage.clock();
  const again = { state: 'waiting' as const, attempts: 0, since: now, due_at: now };
  const { modifiedCount } = await storage.readPage(() =>
    storage.deliveries.updateMany(queryOf(filter), { $set: again }),
  );
  return modifiedCount;
}

/**
 * How many deliveries wait at an endpoint, by type, and since when the one that has waited longest does.
 * @throws StorageError
 */
export async function countWaiting(
  storage: Storage,
  endpoint: string,
  types: readonly EventType[],
): Promise<{ counts: [EventType, number][]; oldest: Date | undefined }> {
  const waiting = { endpoint, state: 'waiting' as const };
  const { deliveries } = storage;
  return storage.readPage(async () => {
    const counts = types.map(
      async (type): Promise<[EventType, number]> => [type, await deliveries.countDocuments({ ...waiting, type })],
    );
    const oldest = await deliveries.find(waiting).sort({ since: 1 }).limit(1).next();
    return { counts: await Promise.all(counts), oldest: oldest?.since };
  });
}

function queryOf({ states, ...equal }: DeliveryFilter): Record<string, unknown> {
  const given = Object.entries(equal).filter(([, value]) => value !== undefined);
  const every = states.length === DELIVERY_STATES.length;
  return { ...Object.fromEntries(given), ...(!every && { state: { $in: [...states] } }) };
}
