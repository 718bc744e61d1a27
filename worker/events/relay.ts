import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { hostname } from 'node:os';
import { fault, type Log } from '../../activities/log.ts';
import type { Storage } from '../../storage/connection.ts';
import { policiesDue } from '../../storage/deliveries.ts';
import { StorageError } from '../../storage/errors.ts';
import { assignEvents } from '../../storage/events.ts';
import { holdSweep, leaveSweep } from '../../storage/sweeps.ts';
import type { Metrics } from '../metrics.ts';
import { pause } from '../pause.ts';
import { type Delivering, deliverPolicy } from './delivery.ts';
import type { Endpoints } from './endpoints.ts';
import type { Endpoint } from './endpoints_file.ts';
import { type Sink, webhook } from './webhook.ts';

/** A worker that has said nothing for so long relays no more. */
const PATIENCE_MS = 30_000;
const SAY_EVERY_MS = 5_000;
/** It stops by itself well before another may begin, where it cannot say so: the last request takes 20 s at most. */
const OWN_PATIENCE_MS = 20_000;
const LOOK_EVERY_MS = 500;
/** Policies of which something is under way to one endpoint at a time. */
const AT_ONCE = 16;

export interface RelayPlace {
  storage: Storage;
  log: Log;
  endpoints: Endpoints;
  metrics: Pick<Metrics, 'delivered'>;
}

/**
 * Delivers events to the endpoints of the file, for as long as no other worker does: one relays for all, so that the order of a
 * policy's events is one worker's matter. Ends with the signal.
 */
export async function keepRelaying(place: RelayPlace, signal: AbortSignal): Promise<void> {
  const held_by = `${process.pid}@${hostname()}/${randomUUID()}`;
  for (; !signal.aborted; await pause(SAY_EVERY_MS, signal)) {
    const turn = await held(place, held_by);
    if (turn) await relay(place, held_by, turn, signal);
  }
  await leaveSweep(place.storage, 'relay', held_by).catch(quietly(place.log));
}

/** MongoDB's time at a time of ours. */
interface Turn {
  mongodb: number;
  at: number;
}

async function held({ storage, log }: RelayPlace, held_by: string): Promise<Turn | undefined> {
  const at = performance.now();
  try {
    const now = await holdSweep(storage, 'relay', { held_by, patience: PATIENCE_MS });
    return now && { mongodb: now.getTime(), at };
  } catch (error) {
    quietly(log)(error);
    return undefined;
  }
}

/** Until the signal, or until it cannot be sure any more that no other worker does the same. */
async function relay(place: RelayPlace, held_by: string, first: Turn, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const own = AbortSignal.any([signal, over.signal]);
  // Each request under way listens to it.
  setMaxListeners(0, own);
  let turn = first;
  const now = () => new Date(turn.mongodb + performance.now() - turn.at);
  const isOurs = () => performance.now() - turn.at <= OWN_PATIENCE_MS;
  const { endpoints, log } = place;
  log.info({}, 'this worker delivers events');
  const working = work({ ...place, now, isOurs, signal: own }, endpoints).finally(() => over.abort());
  while (!own.aborted) {
    await pause(SAY_EVERY_MS, own);
    if (own.aborted) break;
    turn = (await held(place, held_by)) ?? turn;
    if (!isOurs()) over.abort();
  }
  await working;
}

/** Assigns what came, and keeps each endpoint of the file served. */
async function work(delivering: Delivering, endpoints: Endpoints): Promise<void> {
  const { storage, log, now, signal } = delivering;
  const serving = new Map<string, Promise<void>>();
  for (; !signal.aborted; await pause(LOOK_EVERY_MS, signal)) {
    await endpoints.look();
    for (const { name } of endpoints.all())
      if (!serving.has(name))
        serving.set(
          name,
          serve(delivering, endpoints, name).finally(() => serving.delete(name)),
        );
    try {
      while (!signal.aborted && (await assignEvents(storage, (event) => endpoints.wanting(event), now())) > 0);
    } catch (error) {
      quietly(log)(error);
    }
  }
  await Promise.all(serving.values());
}

/** Until the file names the endpoint no more. One that is slow or down holds up no other. */
async function serve(delivering: Delivering, endpoints: Endpoints, name: string): Promise<void> {
  const { storage, log, now, signal } = delivering;
  const active = new Map<string, Promise<void>>();
  const sinks = sinkOf(log);
  const begin = async (policy: string, sink: Sink): Promise<void> => {
    await deliverPolicy(delivering, sink, name, policy).catch(quietly(log));
    active.delete(policy);
  };
  while (!signal.aborted) {
    const endpoint = endpoints.all().find((one) => one.name === name);
    if (!endpoint) break;
    const sink = sinks(endpoint, endpoints.version);
    const due = await policiesDue(storage, name, now(), [...active.keys()]).catch(quietly(log));
    for (const policy of due ?? []) {
      while (active.size >= AT_ONCE) await Promise.race(active.values());
      if (signal.aborted) break;
      active.set(policy, begin(policy, sink));
    }
    const enough = new AbortController();
    const looked = pause(LOOK_EVERY_MS, AbortSignal.any([signal, enough.signal]));
    await Promise.race([looked, ...(due?.length ? active.values() : [])]);
    enough.abort();
  }
  await Promise.all(active.values());
}

/** An endpoint that says that it is gone (410) is asked no more until the file is another; its events are given up. */
function sinkOf(log: Log): (endpoint: Endpoint, version: string) => Sink {
  let gone: string | undefined;
  return (endpoint, version) => {
    const send = webhook(endpoint);
    return async (...given) => {
      if (gone === version) return { outcome: 'gone', reason: 'gone' };
      const sent = await send(...given);
      if (sent.outcome === 'gone') {
        gone = version;
        log.error(
          { endpoint: endpoint.name },
          'an endpoint is gone (410): take it out of the POLICY_SYNC_WEBHOOKS file, or set it right',
        );
      }
      return sent;
    };
  };
}

/** While MongoDB is away nothing is lost, and it is tried again. A fault of this program must not end the worker. */
function quietly(log: Log): (error: unknown) => undefined {
  return (error) => {
    if (error instanceof StorageError) log.debug({ reason: error.message }, 'events wait for MongoDB');
    else log.error(fault(error), 'events could not be delivered by a fault of this program; it is tried again');
    return undefined;
  };
}
