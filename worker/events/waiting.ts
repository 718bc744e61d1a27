import { Gauge } from 'prom-client';
import type { Log } from '../../activities/log.ts';
import { EVENT_TYPES, type EventType } from '../../policy/events.ts';
import type { Storage } from '../../storage/connection.ts';
import { countWaiting } from '../../storage/deliveries.ts';
import { counted } from '../counted.ts';
import type { Metrics } from '../metrics.ts';
import type { Endpoints } from './endpoints.ts';

interface WaitingPlace {
  metrics: Pick<Metrics, 'registry'>;
  storage: Storage;
  endpoints: Endpoints;
  log: Log;
}

const types = Object.keys(EVENT_TYPES) as EventType[];

/** Metrics of what waits, over all workers, as last counted in MongoDB: an endpoint that is down for days leaves much to count. */
export function measureWaiting({ metrics, storage, endpoints, log }: WaitingPlace): void {
  const registers = [metrics.registry];
  const waiting = counted(async () => {
    const now = await storage.clock();
    const all = [];
    for (const { name: endpoint } of endpoints.all()) {
      const { counts, oldest } = await countWaiting(storage, endpoint, types);
      all.push({ endpoint, counts, seconds: oldest ? (now.getTime() - oldest.getTime()) / 1000 : 0 });
    }
    return all;
  }, log);
  new Gauge({
    name: 'policy_sync_events_oldest_waiting_seconds',
    help: 'How long the event has waited that has waited longest, by endpoint; 0 where none waits',
    labelNames: ['endpoint'],
    registers,
    async collect() {
      const all = await waiting();
      this.reset();
      for (const { endpoint, seconds } of all ?? []) this.set({ endpoint }, seconds);
    },
  });
  new Gauge({
    name: 'policy_sync_events_waiting',
    help: 'Events that an endpoint has not taken yet, by endpoint and type, over all workers',
    labelNames: ['endpoint', 'type'],
    registers,
    async collect() {
      const all = await waiting();
      this.reset();
      for (const { endpoint, counts } of all ?? [])
        for (const [type, events] of counts) this.set({ endpoint, type }, events);
    },
  });
}
