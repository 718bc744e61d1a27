import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { ObservedCall } from '../activities/attempt.ts';
import { fault, type Log } from '../activities/log.ts';
import type { Noted } from '../activities/recording.ts';
import type { Counts } from '../storage/counts.ts';
import { certificatesOf, type Merchant } from '../wechatpay/merchant.ts';
import type { Backlog } from './backlog.ts';
import { fleetMetrics } from './fleet_metrics.ts';
import type { HoldReason } from './holds.ts';
import { SettingsError } from './settings.ts';

/** What an answer is refused for whose signature proves nothing. */
const UNPROVEN = ['unsigned', 'unknown-serial', 'wrong-signature', 'stale'];
/** An answer that nobody signed can say anything: no more codes than these are told apart. */
const MOST_CODES = 100;
/** Gauges that prom-client calls totals, which Prometheus' rules have for counters. */
const MISNAMED = ['nodejs_active_resources_total', 'nodejs_active_handles_total', 'nodejs_active_requests_total'];

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
    help: "Requests to WeChat Pay, by merchant, method, outcome, and WeChat Pay's code or our word for what failed",
    labelNames: ['mchid', 'method', 'outcome', 'code'],
    registers: [this.registry],
  });
  readonly #duration = new Histogram({
    name: 'policy_sync_call_duration_seconds',
    help: 'How long a request to WeChat Pay took',
    labelNames: ['method'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [this.registry],
  });
  readonly #unproven = new Counter({
    name: 'policy_sync_signature_failures_total',
    help: 'Answers whose signature proves nothing, by merchant and reason: unsigned, unknown-serial, wrong-signature, stale',
    labelNames: ['mchid', 'reason'],
    registers: [this.registry],
  });
  readonly #confirmation = new Histogram({
    name: 'policy_sync_confirmation_seconds',
    help: 'From the acceptance of a change to its confirmation by WeChat Pay, by command',
    labelNames: ['command'],
    buckets: [0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400],
    registers: [this.registry],
  });
  readonly #discrepancies = new Counter({
    name: 'policy_sync_discrepancies_total',
    help: 'Fields found to differ at WeChat Pay, by field and kind: drift, state, not-taken, unreadable, adopt, absent',
    labelNames: ['field', 'kind'],
    registers: [this.registry],
  });
  readonly #codes = new Set<string>();

  readonly #deliveries = new Counter({
    name: 'policy_sync_event_deliveries_total',
    help: 'Attempts to deliver an event, by endpoint, type of event and outcome: delivered, not-taken, failed (given up)',
    labelNames: ['endpoint', 'type', 'outcome'],
    registers: [this.registry],
  });

  /** Merchants whose calls wait, and why. */
  held: () => ReadonlyMap<string, HoldReason> = () => new Map();
  /** In requests a second, by merchant. */
  rates: () => ReadonlyMap<string, number> = () => new Map();
  /** What asks for a person, counted by kind; undefined before MongoDB has told. */
  attention: () => Promise<Record<string, number> | undefined> = async () => undefined;
  /** The fleet in numbers; undefined before MongoDB has told. */
  counts: () => Promise<Counts | undefined> = async () => undefined;
  /** What waits in Temporal's queues; undefined before Temporal has told. */
  backlogs: () => Promise<readonly Backlog[] | undefined> = async () => undefined;
  /** The SDK's own metrics, in Prometheus' text format. */
  sdk: () => Promise<string> = async () => '';
  /** Which servers answer; before there is a connection to Temporal, it does not. */
  up: () => Promise<Record<string, boolean>> = async () => ({ temporal: false });

  /** The current version, and whether workers of it poll; undefined while that is not known. */
  currentVersion: () => { buildId: string; served: boolean } | undefined = () => undefined;

  constructor(merchants: () => readonly Merchant[]) {
    const held = () => this.held();
    const rates = () => this.rates();
    const attention = () => this.attention();
    const up = () => this.up();
    const currentVersion = () => this.currentVersion();
    collectDefaultMetrics({ register: this.registry });
    for (const name of MISNAMED) this.registry.removeSingleMetric(name);
    fleetMetrics(this.registry, {
      counts: () => this.counts(),
      backlogs: () => this.backlogs(),
    });
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
      name: 'policy_sync_merchant_requests_per_second',
      help: 'The rate that holds for a merchant over all workers: its setting, or less, where WeChat Pay throttles it',
      labelNames: ['mchid'],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [mchid, rate] of rates()) this.set({ mchid }, rate);
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
      name: 'policy_sync_certificate_expiry_timestamp_seconds',
      help: 'When a certificate ends, by merchant and serial',
      labelNames: ['mchid', 'serial_no'],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const { mchid, serial_no, valid_to } of merchants().flatMap(certificatesOf))
          this.set({ mchid, serial_no }, valid_to.getTime() / 1000);
      },
    });
  }

  /** Counts one attempt to deliver an event. */
  delivered({ endpoint, type, outcome }: Delivered): void {
    this.#deliveries.inc({ endpoint, type, outcome });
  }

  /** Counts one request to WeChat Pay. */
  observe({ mchid, method, outcome, code = '', reason = '', duration_ms }: ObservedCall): void {
    if (this.#codes.size < MOST_CODES) this.#codes.add(code);
    this.#calls.inc({ mchid, method, outcome, code: this.#codes.has(code) ? code : 'other' });
    this.#duration.observe({ method }, duration_ms / 1000);
    if (UNPROVEN.includes(reason)) this.#unproven.inc({ mchid, reason });
  }

  /** Counts what a record has told MongoDB, and no record before it. */
  noted({ confirmed = [], found = [] }: Noted): void {
    for (const { command, after_ms } of confirmed) this.#confirmation.observe({ command }, after_ms / 1000);
    for (const { field, kind } of found) this.#discrepancies.inc({ field, kind });
  }
}

/**
 * Serves `/metrics` in Prometheus' text format, the SDK's own behind ours, and `/healthz`, which says that the process runs.
 * Returns what ends it.
 * @throws {SettingsError} when the port cannot be had
 */
export async function serveMetrics(
  { registry, sdk }: Metrics,
  { host, port }: { host: string; port: number },
  log: Log,
): Promise<() => Promise<unknown>> {
  const server = createServer(async (request, response) => {
    if (request.url === '/healthz') {
      response.writeHead(200, { 'content-type': 'text/plain' }).end('ok\n');
      return;
    }
    if (request.url !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    try {
      const [own, sdks] = await Promise.all([registry.metrics(), sdk()]);
      response.writeHead(200, { 'content-type': registry.contentType }).end(own + sdks);
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
