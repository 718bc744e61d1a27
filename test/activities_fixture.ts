// One attempt of an activity at a time, as the server hands it out, against a strict sandbox over HTTP and a real MongoDB.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import type { CallSettings } from '../activities/attempt.ts';
import { callActivities } from '../activities/calls.ts';
import type { CallInput, VerifyInput } from '../activities/types/inputs.ts';
import type { Snapshot } from '../activities/types/snapshot.ts';
import type { PolicyFields, PolicyRecord } from '../policy/record.ts';
import { merchantsFile } from '../sandbox/keys.ts';
import { connect, type Storage } from '../storage/connection.ts';
import { WechatPay } from '../wechatpay/client.ts';
import type { Merchant } from '../wechatpay/merchant.ts';
import { readMerchants } from '../wechatpay/merchants_file.ts';
import { type Bench, startBench } from './sandbox_calls.ts';
import {
  type Database,
  entries,
  keyring,
  type Line,
  lineTo,
  PERSONAL,
  record,
  startDatabase,
} from './storage_fixture.ts';

/** Which attempt of an activity, and how long after the activity was scheduled, in ms. */
export interface Turn {
  attempt?: number;
  waited?: number;
  /** Details that the attempt before left with its last heartbeat. */
  heartbeat?: unknown;
}

/** What an attempt came to: its result, or the failure that the server retries by; and its heartbeats. */
type Ended<R> = { heartbeats: unknown[] } & (
  | { result: R; failure?: undefined }
  | { result?: undefined; failure: ApplicationFailure }
);

export interface Stage {
  bench: Bench;
  /** The same merchant's other host. */
  backup: Bench;
  merchant: Merchant;
  storage: Storage;
  database: Database;
  /** What stands between the activities and MongoDB. */
  line: Line;
  /** Lines logged so far: level and fields. */
  logged: { level: string; fields: Record<string, unknown>; message?: string }[];
  /** A policy of a number of its own, at WeChat Pay and in a snapshot. */
  policy(changes?: PolicyFields): Promise<Snapshot>;
  /** At both hosts. */
  faults(...actions: object[]): Promise<void>;
  settings(changes?: Partial<CallSettings>): CallSettings;
  stop(): Promise<void>;
}

export async function setStage(): Promise<Stage> {
  const bench = await startBench({ strict: true });
  const backup = await startBench({ strict: true }, bench.dir);
  const merchant = await merchantOf(bench, backup);
  const database = await startDatabase();
  const line = await lineTo(database.address);
  const uri = database.uri.replace(/\/\/[^/]+/, `//127.0.0.1:${line.port}`);
  const storage = await connect(uri, { keyring: keyring(...entries) });
  const logged: Stage['logged'] = [];
  const log = (level: string) => (fields: object, message?: string) => {
    logged.push({ level, fields: fields as Record<string, unknown>, ...(message && { message }) });
    impersonal([fields, message]);
  };
  return {
    bench,
    backup,
    merchant,
    storage,
    database,
    line,
    logged,
    async policy(changes = {}) {
      const out_insurance_no = randomUUID().replaceAll('-', '');
      const { field_of_tomorrow: _, ...policy } = record.policy as PolicyFields;
      const fields = {
        ...policy,
        pet_name: '小狗',
        support_renewal: false,
        insurance_company_code: 'PICC',
        ...changes,
        out_insurance_no,
      };
      await bench.put(fields);
      await backup.put(fields);
      return snapshotOf({ ...record, policy: fields } as PolicyRecord);
    },
    async faults(...actions) {
      const rules = actions.map((action) => ({ do: action }));
      await bench.faults(...rules);
      await backup.faults(...rules);
    },
    settings: (changes = {}) => ({
      storage,
      log: { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') } as CallSettings['log'],
      payloadKey: 'k1',
      wechatPay: () => new WechatPay(merchant),
      ...changes,
    }),
    async stop() {
      await storage.close();
      await line.cut();
      await database.stop();
      await backup.close();
      await bench.close();
    },
  };
}

async function merchantOf(bench: Bench, backup: Bench): Promise<Merchant> {
  const { keys, url } = bench.sandbox;
  const settings = merchantsFile(keys, bench.dir, url) as Record<string, { base_urls: string[] }>;
  settings[keys.mchid]?.base_urls.push(backup.sandbox.url);
  const file = join(bench.dir, 'merchants.json');
  await writeFile(file, JSON.stringify(settings));
  const merchant = (await readMerchants(file)).merchants.get(keys.mchid);
  assert.ok(merchant);
  return merchant;
}

export function snapshotOf(of: PolicyRecord): Snapshot {
  return {
    mchid: of.mchid,
    out_insurance_no: of.policy.out_insurance_no,
    life: `life-of-${of.policy.out_insurance_no}`,
    record: of,
    sync: 'PENDING',
    revision: 3,
    synced_revision: 2,
    step: 10,
    block: null,
    attention: [],
    due: null,
    version: null,
    digest: null,
    window: 'none',
    cancellation: null,
    opened_at: Date.parse('2025-09-20T00:00:00Z'),
    carried: '{"format":1}',
    discrepancies: [],
  };
}

/** Runs one attempt. */
export async function turn<I, R>(
  activity: (input: I) => Promise<R>,
  input: I,
  { attempt = 1, waited = 0, heartbeat }: Turn = {},
): Promise<Ended<R>> {
  const heartbeats: unknown[] = [];
  const scheduledTimestampMs = Date.now() - waited;
  const environment = new MockActivityEnvironment({
    attempt,
    heartbeatDetails: heartbeat,
    activityId: '7',
    scheduledTimestampMs,
    currentAttemptScheduledTimestampMs: scheduledTimestampMs + waited,
    workflowExecution: { workflowId: 'policy/test', runId: 'run-1' },
  });
  environment.on('heartbeat', (details) => heartbeats.push(details));
  try {
    return { heartbeats, result: (await environment.run(activity as never, input as never)) as R };
  } catch (failure) {
    assert.ok(failure instanceof ApplicationFailure, String(failure));
    impersonal([failure.message, failure.stack, failure.details, failure.type]);
    return { heartbeats, failure };
  }
}

/** Nothing that a failure or a log line says may be personal. */
function impersonal(said: unknown): void {
  const text = JSON.stringify(said);
  for (const value of PERSONAL) assert.ok(!text.includes(value), `personal: ${text}`);
}

/** The calls of a stage, one attempt each. */
export function callsOf(stage: Stage, changes: Partial<CallSettings> = {}) {
  const activities = callActivities(stage.settings(changes));
  const input = (snapshot: Snapshot, more: Partial<CallInput> = {}): CallInput => ({
    format: 1,
    snapshot,
    host: 0,
    ...more,
  });
  return {
    query: (snapshot: Snapshot, more: Partial<CallInput> = {}, at: Turn = {}) =>
      turn(activities.query, input(snapshot, more), at),
    push: (snapshot: Snapshot, fields: PolicyFields, more: Partial<CallInput> = {}, at: Turn = {}) =>
      turn(activities.push, input(snapshot, { fields, ...more }), at),
    upload: (snapshot: Snapshot, fields: PolicyFields, at: Turn = {}) =>
      turn(activities.upload, input(snapshot, { fields }), at),
    verify: (snapshot: Snapshot, more: Partial<VerifyInput> = {}, at: Turn = {}) =>
      turn(
        activities.verify,
        { format: 1, snapshot, expected: snapshot.record.policy, unreadable: [], age: 0, every: WEEK, ...more },
        at,
      ),
  };
}

export const MINUTE = 60_000;
export const WEEK: number = 7 * 24 * 60 * MINUTE;

/** Requests of this number that the sandbox was sent. */
export async function sent(bench: Bench, { out_insurance_no }: Snapshot): Promise<string[]> {
  const all = await bench.requests();
  const own = all.filter(
    ({ path, body }) => path.endsWith(`/${out_insurance_no}`) || String(body).includes(out_insurance_no),
  );
  return own.map(({ method }) => method);
}

/** How long the server is asked to wait, in ms. */
export function delayOf(failure: ApplicationFailure | undefined): number {
  assert.ok(failure, 'the attempt was to fail');
  assert.equal(failure.nonRetryable, false);
  assert.equal(failure.category, 'BENIGN');
  return Number(failure.nextRetryDelay);
}

/** The newest document of `calls`. */
export async function lastCall({ database }: Stage): Promise<Record<string, unknown> | null> {
  return database.client
    .db()
    .collection('calls')
    .findOne({}, { sort: { at: -1 } });
}

/** What WeChat Pay holds of the policy. */
export function heldOf({ bench }: Stage, number: string): Promise<PolicyFields> {
  return bench.held(number) as Promise<PolicyFields>;
}
