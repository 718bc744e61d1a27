import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { fault, type Log } from '../activities/log.ts';
import { certificatesOf, type Merchant } from '../wechatpay/merchant.ts';
import type { HoldReason } from './holds.ts';
import { SettingsError } from './settings.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

interface ObservedCall {
  mchid: string;
  method: string;
  outcome: string;
  duration_ms: number;
}

interface Delivered {
  endpoint: string;
  type: string;
  outcome: 'delivered' | 'not-taken' | 'failed';
}

/** What a worker counts; nothing personal, and no policy's number. */
export class Metrics {
  readonly registry = new Registry();
  readonly #calls = new Counter({
    name: 'policy_sync_calls_total',
    help: 'Requests to WeChat Pay, by merchant, method and outcome',
    labelNames: ['mchid', 'method', 'outcome'],
    registers: [this.registry],
  });
  readonly #duration = new Histogram({
    name: 'policy_sync_call_duration_seconds',
    help: 'How long a request to WeChat Pay took',
    labelNames: ['method'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [this.registry],
  });

  readonly #deliveries = new Counter({
    name: 'policy_sync_event_deliveries_total',
    help: 'Attempts to deliver an event, by endpoint, type of event and outcome: delivered, not-taken, failed (given up)',
    labelNames: ['endpoint', 'type', 'outcome'],
    registers: [this.registry],
  });

  /** Merchants whose calls wait, and why. */
  held: () => ReadonlyMap<string, HoldReason> = () => new Map();
  /** What asks for a person, counted by kind; undefined before MongoDB has told. */
  attention: () => Promise<Record<string, number> | undefined> = async () => undefined;
  /** Which servers answer; before there is a connection to Temporal, it does not. */
  up: () => Promise<Record<string, boolean>> = async () => ({ temporal: false });

  /** The current version, and whether workers of it poll; undefined while that is not known. */
  currentVersion: () => { buildId: string; served: boolean } | undefined = () => undefined;

  constructor(merchants: () => readonly Merchant[]) {
    const held = () => this.held();
    const attention = () => this.attention();
    const up = () => this.up();
    const currentVersion = () => this.currentVersion();
    collectDefaultMetrics({ register: this.registry });
    new Gauge({
      name: 'policy_sync_merchant_held',
      help: '1 for a merchant whose calls wait, by reason: fault (keys, certificate, permission, clock), unusable-settings, paused',
      labelNames: ['mchid', 'reason'],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [mchid, reason] of held()) this.set({ mchid, reason }, 1);
      },
    });
    new Gauge({
      name: 'policy_sync_attention',
      help: 'What asks for a person, by kind, over all workers, as last counted: see policy_sync_up{server="mongodb"}',
      labelNames: ['kind'],
      registers: [this.registry],
      async collect() {
        const counted = await attention();
        this.reset();
        for (const [kind, count] of Object.entries(counted ?? {})) this.set({ kind }, count);
      },
    });
    new Gauge({
      name: 'policy_sync_up',
      help: '1 for a server that answers this worker within 2 s, 0 for one that does not: temporal, mongodb',
      labelNames: ['server'],
      registers: [this.registry],
      async collect() {
        const answering = await up();
        for (const [server, answers] of Object.entries(answering)) this.set({ server }, answers ? 1 : 0);
      },
    });
    new Gauge({
      name: 'policy_sync_current_version_served',
      help: '1 while workers of the current version poll, 0 while none does and policies stand still; absent while none is current',
      labelNames: ['build_id'],
      registers: [this.registry],
      collect() {
        this.reset();
        const current = currentVersion();
        if (current) this.set({ build_id: current.buildId }, current.served ? 1 : 0);
      },
    });
    new Gauge({
      name: 'policy_sync_merchants_served',
      help: 'Merchants whose calls this worker takes',
      registers: [this.registry],
      collect() {
        const waiting = held();
        this.set(merchants().filter(({ mchid }) => !waiting.has(mchid)).length);
      },
    });
    new Gauge({
      name: 'policy_sync_certificate_days_left',
      help: 'Days until a certificate ends, below 0 for one that has ended, by merchant and serial',
      labelNames: ['mchid', 'serial_no'],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const { mchid, serial_no, valid_to } of merchants().flatMap(certificatesOf))
          this.set({ mchid, serial_no }, (valid_to.getTime() - Date.now()) / DAY_MS);
      },
    });
  }

  /** Counts one attempt to deliver an event. */
  delivered({ endpoint, type, outcome }: Delivered): void {
    this.#deliveries.inc({ endpoint, type, outcome });
  }

  /** Counts one request to WeChat Pay. */
  observe({ mchid, method, outcome, duration_ms }: ObservedCall): void {
    this.#calls.inc({ mchid, method, outcome });
    this.#duration.observe({ method }, duration_ms / 1000);
  }
}

/**
 * Serves `/metrics` in Prometheus' text format. Returns what ends it.
 * @throws {SettingsError} when the port cannot be had
 */
export async function serveMetrics(
  { registry }: Metrics,
  { host, port }: { host: string; port: number },
  log: Log,
): Promise<() => Promise<unknown>> {
  const server = createServer(async (request, response) => {
    if (request.url !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    try {
      const text = await registry.metrics();
      response.writeHead(200, { 'content-type': registry.contentType }).end(text);
    } catch (error) {
      // Whoever counts may fail; calls to WeChat Pay go on all the same.
      log.error(fault(error), 'metrics could not be collected by a fault of this program');
      response.writeHead(500).end();
    }
  });
  server.listen(port, host);
  await once(server, 'listening').catch(({ code }: NodeJS.ErrnoException) => {
    throw new SettingsError([`POLICY_SYNC_METRICS_PORT: expected a free port on ${host}, found ${port}: ${code}`]);
  });
  log.info(server.address() as AddressInfo, 'metrics are served');
  return async () => {
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
  };
}
