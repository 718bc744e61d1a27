// A system of a merchant's that is told of events, and a relay that tells it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { Webhook } from 'standardwebhooks';
import type { EventEntry, EventType } from '../policy/events.ts';
import type { Storage } from '../storage/connection.ts';
import type { StoredDelivery } from '../storage/documents.ts';
import { writeEvents } from '../storage/events.ts';
import { Endpoints } from '../worker/events/endpoints.ts';
import { keepRelaying } from '../worker/events/relay.ts';
import { Metrics } from '../worker/metrics.ts';
import { MCHID, uniqueNumber } from './fixtures.ts';

export interface Told {
  type: EventType;
  timestamp: string;
  data: { mchid: string; out_insurance_no: string; sequence: number; state: string; [field: string]: unknown };
}

/** A request, as it came. */
export interface Received {
  id: string;
  event: Told;
  body: string;
  headers: IncomingHttpHeaders;
}

export interface Receiver {
  url: string;
  /** All requests whose signature verified, in their order, whatever they were answered. */
  received: Received[];
  /** Requests whose signature did not verify. */
  forged: number;
  /** Types told of a policy, in their order, each id once. */
  types(out_insurance_no: string): EventType[];
  close(): Promise<void>;
}

export const secretOf = (seed: string): string =>
  `whsec_${Buffer.from(seed.padEnd(32, '.').slice(0, 32)).toString('base64')}`;

/** Verifies by the implementation of Standard Webhooks' own authors. @param answer what it says to what */
export async function startReceiver(
  secret: string,
  answer: (received: Received, response: ServerResponse) => unknown = (_, response) => response.writeHead(204).end(),
  port = 0,
): Promise<Receiver> {
  const server = createServer(async (request, response) => {
    const body = await text(request);
    try {
      const event = new Webhook(secret).verify(body, request.headers as Record<string, string>) as Told;
      const one = { id: String(request.headers['webhook-id']), event, body, headers: request.headers };
      receiver.received.push(one);
      await answer(one, response);
    } catch {
      receiver.forged++;
      response.writeHead(401).end();
    }
  });
  const receiver: Receiver = {
    url: '',
    received: [],
    forged: 0,
    types: (number) => {
      const ids = new Map(receiver.received.map(({ id, event }) => [id, event]));
      return [...ids.values()].filter(({ data }) => data.out_insurance_no === number).map(({ type }) => type);
    },
    close: async () => {
      server.close();
      server.closeAllConnections();
      if (server.listening) await once(server, 'close');
    },
  };
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/events`;
  return receiver;
}

/** An endpoint as the file has it, but for its secrets. */
export interface Wanted {
  name: string;
  url: string;
  secrets: string[];
  merchants?: string[] | undefined;
  events?: string[] | undefined;
}

export interface Line {
  level: string;
  message: string;
  fields: Record<string, unknown>;
}

/** A folder with a file of endpoints, which tests write anew. */
export async function endpointsFolder() {
  const directory = await mkdtemp(join(tmpdir(), 'policy-sync-events-'));
  const file = join(directory, 'webhooks.json');
  const write = async (endpoints: readonly Wanted[]): Promise<void> => {
    const entries = endpoints.map(async ({ secrets, name, ...endpoint }) => {
      const secret_files = secrets.map((_, at) => `${name}-${at}.secret`);
      for (const [at, secret] of secrets.entries())
        await writeFile(join(directory, secret_files[at] ?? ''), `${secret}\n`, { mode: 0o600 });
      return { name, ...endpoint, secret_files };
    });
    await writeFile(file, JSON.stringify(await Promise.all(entries)));
  };
  return { directory, file, write, remove: () => rm(directory, { recursive: true, force: true }) };
}

/** A relay that begins at once, as a worker has it. */
export async function startRelay(storage: Storage, file: string) {
  const lines: Line[] = [];
  const at = (level: string) => (fields: Line['fields'], message: string) =>
    void lines.push({ level, message, fields });
  const log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } as never;
  const endpoints = new Endpoints(file, log);
  await endpoints.load();
  const metrics = new Metrics(() => []);
  const over = new AbortController();
  const done = keepRelaying({ storage, log, endpoints, metrics }, over.signal);
  return {
    lines,
    metrics,
    endpoints,
    stop: async () => {
      over.abort();
      await done;
    },
  };
}

/** Rising sequences, for each policy. */
export function assertInOrder(received: readonly Received[]): void {
  const last = new Map<string, number>();
  const seen = new Set<string>();
  for (const { id, event } of received) {
    const { out_insurance_no, sequence } = event.data;
    if (seen.has(id)) continue;
    seen.add(id);
    assert.ok(sequence > (last.get(out_insurance_no) ?? 0), `${out_insurance_no}: ${sequence} came late`);
    last.set(out_insurance_no, sequence);
  }
}

/** A delivery that is due. */
export const deliveryOf = (changes: Partial<StoredDelivery> = {}): StoredDelivery => {
  const number = changes.out_insurance_no ?? uniqueNumber();
  const now = new Date();
  return {
    _id: `core/${number}_1`,
    endpoint: 'core',
    event: `${number}_1`,
    policy: `${MCHID}/${number}`,
    mchid: MCHID,
    out_insurance_no: number,
    type: 'policy.confirmed',
    sequence: 1,
    at: now,
    told: { state: 'APPROVED', sync: 'SYNCED', revision: 1, synced_revision: 1 },
    state: 'waiting',
    attempts: 0,
    since: now,
    due_at: now,
    ...changes,
  };
};

export const entry = (number: string, sequence: number, changes: Partial<EventEntry> = {}): EventEntry => ({
  id: `life-of-${number}_${sequence}`,
  type: 'policy.confirmed',
  sequence,
  at: Date.now(),
  state: 'APPROVED',
  sync: 'SYNCED',
  revision: sequence,
  synced_revision: sequence,
  ...changes,
});

/** `_id` of a policy. */
export const idOf = (number: string, mchid = MCHID): string => `${mchid}/${number}`;

/** Writes events of a policy, as a worker does. */
export const happen = (storage: Storage, number: string, events: EventEntry[], mchid = MCHID): Promise<void> =>
  writeEvents(storage, { policy: idOf(number, mchid), mchid, out_insurance_no: number, events });
