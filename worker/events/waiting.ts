import { Gauge } from 'prom-client';
import type { Log } from '../../activities/log.ts';
import { EVENT_TYPES, type EventType } from '../../policy/events.ts';
import type { Storage } from '../../storage/connection.ts';
import { countWaiting } from '../../storage/deliveries.ts';
import { StorageError } from '../../storage/errors.ts';
import type { Metrics } from '../metrics.ts';
import { inTime } from '../up.ts';
import type { Endpoints } from './endpoints.ts';

interface WaitingPlace {
  metrics: Pick<Metrics, 'registry'>;
  storage: Storage;
  endpoints: Endpoints;
  log: Log;
}

const types = Object.keys(EVENT_TYPES) as EventType[];

/** Metrics of what waits, over all workers, counted in MongoDB when they are asked for; none while it does not answer. */
export function measureWaiting({ metrics, storage, endpoints, log }: WaitingPlace): void {
  const { registry } = metrics;
  const oldest = new Gauge({
    name: 'policy_sync_events_oldest_waiting_seconds',
    help: 'How long the event has waited that has waited longest, by endpoint; 0 where none waits',
    labelNames: ['endpoint'],
    registers: [registry],
  });
  const count = async (waiting: Gauge): Promise<void> => {
    const now = await storage.clock();
    for (const { name: endpoint } of endpoints.all()) {
      const { counts, oldest: since } = await countWaiting(storage, endpoint, types);
      for (const [type, events] of counts) waiting.set({ endpoint, type }, events);
      oldest.set({ endpoint }, since ? (now.getTime() - since.getTime()) / 1000 : 0);
    }
  };
  new Gauge({
    name: 'policy_sync_events_waiting',
    help: 'Events that an endpoint has not taken yet, by endpoint and type, over all workers',
    labelNames: ['endpoint', 'type'],
    registers: [registry],
    async collect() {
      this.reset();
      oldest.reset();
      const counted = count(this).catch((error) => {
        if (!(error instanceof StorageError)) throw error;
        log.debug({ reason: error.message }, 'events that wait could not be counted');
      });
      await inTime(counted);
    },
  });
}
