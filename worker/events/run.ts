import type { Place } from '../../activities/recording.ts';
import { deleteOldEvents } from '../../storage/events.ts';
import type { Metrics } from '../metrics.ts';
import { keepSweeping } from '../sweeping.ts';
import type { Endpoints } from './endpoints.ts';
import { keepRelaying } from './relay.ts';
import { measureWaiting } from './waiting.ts';

export interface EventsPlace extends Place {
  /** Undefined: nobody is told of events. */
  endpoints: Endpoints | undefined;
  metrics: Metrics;
  /** How long events are kept, in ms. */
  kept: number;
  /** Old ones are found by their index. */
  indexing: Promise<void>;
}

/** Delivers events, measures what waits, and deletes old ones, until the signal. */
export async function runEvents(
  { endpoints, kept, indexing, ...place }: EventsPlace,
  signal: AbortSignal,
): Promise<void> {
  if (!endpoints) return;
  measureWaiting({ ...place, endpoints });
  const { storage } = place;
  const old = {
    ...{ id: 'events' as const, kept, done: 'old events and their deliveries are deleted' },
    sweep: (before: Date) => deleteOldEvents(storage, before),
  };
  const deleting = indexing.then(() => keepSweeping(place, old, signal));
  await Promise.all([keepRelaying({ ...place, endpoints }, signal), deleting]);
}
