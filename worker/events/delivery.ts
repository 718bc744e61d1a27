import type { Log } from '../../activities/log.ts';
import type { Storage } from '../../storage/connection.ts';
import { postpone, settleDelivery, waitingOf } from '../../storage/deliveries.ts';
import type { StoredDelivery } from '../../storage/documents.ts';
import type { Metrics } from '../metrics.ts';
import type { Sent, Sink } from './webhook.ts';

const FIRST_RETRY_MS = 5_000;
const LONGEST_RETRY_MS = 60 * 60 * 1000;
/** So long it is tried. */
const PATIENCE_MS = 3 * 24 * 60 * 60 * 1000;

export interface Delivering {
  storage: Storage;
  log: Log;
  metrics: Pick<Metrics, 'delivered'>;
  /** By MongoDB's clock: a worker's own may be years ahead. */
  now: () => Date;
  /** Aborted when the work is another worker's, or all ends. */
  signal: AbortSignal;
  /** Whether the work is this worker's still: one that stood still may not have been told yet. */
  isOurs: () => boolean;
}

/**
 * Wait after so many attempts, in ms: 5 s, doubling to an hour, half of it by chance; and as long as the endpoint asked for, if that
 * is not longer than an event is tried at all.
 */
export function retryAfter(attempts: number, asked = 0, chance = Math.random()): number {
  const longest = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(attempts - 1, 20));
  return Math.max(longest * (0.5 + chance / 2), Math.min(asked, PATIENCE_MS));
}

/**
 * Delivers what waits of a policy at an endpoint, in order, until one is not taken. Each is marked before the next is sent, so that one
 * that was sent twice, by a worker that died in between, comes before those after it all the same.
 * @throws StorageError
 */
export async function deliverPolicy(
  delivering: Delivering,
  sink: Sink,
  endpoint: string,
  policy: string,
): Promise<void> {
  const { storage, now, signal, isOurs } = delivering;
  for (const delivery of await waitingOf(storage, endpoint, policy)) {
    if (signal.aborted || !isOurs()) return;
    if (delivery.due_at > now()) {
      await postpone(storage, delivery, delivery);
      return;
    }
    const sent = await sink(delivery, now(), signal);
    if (!(await noted(delivering, delivery, sent))) return;
  }
}

/** Whether the next may be sent. */
async function noted(delivering: Delivering, delivery: StoredDelivery, sent: Sent): Promise<boolean> {
  const { storage, log, metrics, now } = delivering;
  if (sent.outcome === 'given-up') return false;
  const { endpoint, type } = delivery;
  const tried = { attempts: delivery.attempts + 1, tried_at: now() };
  if (sent.outcome === 'taken') {
    await settleDelivery(storage, delivery, { state: 'delivered', ...tried });
    metrics.delivered({ endpoint, type, outcome: 'delivered' });
    return true;
  }
  const { event, mchid, out_insurance_no } = delivery;
  const line = { endpoint, event, type, mchid, out_insurance_no, attempts: tried.attempts, reason: sent.reason };
  const { reason } = sent;
  if (sent.outcome === 'gone' || now().getTime() - delivery.since.getTime() >= PATIENCE_MS) {
    await settleDelivery(storage, delivery, { state: 'failed', ...tried, reason });
    metrics.delivered({ endpoint, type, outcome: 'failed' });
    log.error(line, 'an event is given up: `policy-sync events --send-again` sends it again');
    return true;
  }
  const due_at = new Date(tried.tried_at.getTime() + retryAfter(tried.attempts, sent.retry_after_ms));
  await postpone(storage, delivery, { ...tried, due_at, reason });
  metrics.delivered({ endpoint, type, outcome: 'not-taken' });
  log.warn({ ...line, again_at: due_at }, 'an endpoint did not take an event; it is tried again');
  return false;
}
