import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach } from 'node:test';
import { connectPolicyClient } from '../client/connect.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import { makeKey, parseKeys } from '../codec/keys.ts';
import { freePort } from '../embedded/ports.ts';
import { APPROVED } from '../policy/state.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import { makeKeys, merchantsFile } from '../sandbox/keys.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { type Sandbox, startSandbox } from '../sandbox/server.ts';
import { connect, type Storage } from '../storage/connection.ts';
import type { StoredHold } from '../storage/documents.ts';
import { listHolds } from '../storage/holds.ts';
import { readSettings } from '../worker/settings.ts';
import { type RunningWorker, startWorker } from '../worker/worker.ts';
import { makeNamespace, type Namespace, until } from './client_namespace.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import './quiet.ts';
import { type Database, startDatabase } from './storage_fixture.ts';

/** Instead of a minute. */
export const PROBE_EVERY_MS = 1_500;

export const [MERCHANT, OTHER, LATE] = ['1900000001', '1900000002', '1900000003'];

export const CODE = 'C0123456789';

export type Settings = Record<string, Record<string, unknown>>;

export const idOf = (out_insurance_no: string, mchid = MERCHANT) => ({ mchid, out_insurance_no });

export const FAULTS: [string, FaultRule['do'] & { status: number }][] = [
  ['401, unsigned', { status: 401, code: 'SIGN_ERROR', unsigned: true }],
  ['403 NO_AUTH', { status: 403, code: 'NO_AUTH' }],
];

/** A worker as it runs in production, with two merchants, each with a WeChat Pay of its own; a third is in the file later. */
export function heldMerchants() {
  let directory: string;
  let temporal: Namespace;
  let database: Database;
  let storage: Storage;
  let worker: RunningWorker;
  let client: PolicyClient;
  let metricsUrl: string;
  let env: NodeJS.ProcessEnv;
  const sandboxes = new Map<string, Sandbox>();

  let settings: Settings;
  let later: Settings;

  const lines: { level: string; message: string; fields: Record<string, unknown> }[] = [];

  const logged = (level: string) => (fields: object | string, message?: string) =>
    void lines.push({
      level,
      message: message ?? String(fields),
      fields: typeof fields === 'object' ? (fields as Record<string, unknown>) : {},
    });

  const log = { debug: logged('debug'), info: logged('info'), warn: logged('warn'), error: logged('error') } as never;

  const write = (what = settings, file = 'merchants.json') =>
    writeFile(join(directory, file), JSON.stringify(what), { mode: 0o600 });

  const start = async (): Promise<void> => {
    directory = await mkdtemp(join(tmpdir(), 'policy-sync-holds-'));
    [settings, later] = [{}, {}];
    for (const mchid of [MERCHANT, OTHER, LATE]) {
      const keys = join(directory, mchid);
      const file = join(keys, 'sandbox.json');
      await makeKeys(keys);
      await writeFile(file, JSON.stringify({ ...JSON.parse(await readFile(file, 'utf8')), mchid }));
      const sandbox = await startSandbox({ keys, strict: true });
      sandboxes.set(mchid, sandbox);
      Object.assign(mchid === LATE ? later : settings, merchantsFile(sandbox.keys, keys, sandbox.url));
    }
    await write();
    temporal = await makeNamespace();
    database = await startDatabase();
    const key = makeKey('test');
    const port = await freePort();
    metricsUrl = `http://127.0.0.1:${port}/metrics`;
    env = {
      ...temporal.env,
      MONGODB_URI: database.uri,
      WECHATPAY_MERCHANTS: join(directory, 'merchants.json'),
      POLICY_SYNC_KEYS: key,
      POLICY_SYNC_METRICS_PORT: String(port),
    };
    storage = await connect(database.uri, { keyring: parseKeys(key) });
    worker = await startWorker({ settings: readSettings(env), log, promote: true, probeEvery: PROBE_EVERY_MS });
    client = await connectPolicyClient({ env, timeout: 60_000 });
  };
  let started: Promise<void> | undefined;
  before(() => {
    started = start();
    return started;
  });

  after(async () => {
    await client?.close();
    await worker?.shutdown();
    await storage?.close();
    await database?.stop();
    await temporal?.stop();
    for (const sandbox of sandboxes.values()) await sandbox.close();
    await rm(directory, { recursive: true, force: true });
  });

  beforeEach(async () => {
    await faults();
    await until(async () => (await listHolds(storage)).length === 0);
    lines.length = 0;
  });

  async function control(mchid: string, method: string, path: string, body?: unknown): Promise<unknown> {
    const given =
      body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
    const answer = await fetch(`${sandboxes.get(mchid)?.url}/_sandbox/${path}`, { method, ...given });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
    return answer.status === 204 ? undefined : answer.json();
  }

  const faults = (...rules: Partial<FaultRule>[]) => control(MERCHANT, 'PUT', 'faults', rules);

  const metrics = async () => (await fetch(metricsUrl)).text();

  const holdOf = async (mchid = MERCHANT) => (await listHolds(storage)).find(({ _id }) => _id === mchid);

  /** Until the holder has said again that it holds; resolves with what it said. */
  async function saidAgain(mchid = MERCHANT): Promise<StoredHold> {
    const before = await holdOf(mchid);
    let now: StoredHold | undefined;
    await until(async () => {
      now = await holdOf(mchid);
      return now !== undefined && now.probed_at.getTime() !== before?.probed_at.getTime();
    });
    return now ?? assert.fail('nobody holds it');
  }

  const requests = async (mchid = MERCHANT) => (await control(mchid, 'GET', 'requests')) as LoggedRequest[];

  const requestsOf = async (number: string) => (await requests()).filter(({ path }) => path.endsWith(`/${number}`));

  const alerts = () => lines.filter(({ level }) => level === 'error');

  const goneOn = () => lines.filter(({ message }) => message === 'calls of this merchant go on');

  async function approved(mchid = MERCHANT): Promise<string> {
    const record = recordOf({ out_insurance_no: uniqueNumber('H'), policy_state: APPROVED }, { mchid });
    const number = record.policy.out_insurance_no;
    await control(mchid, 'PUT', `policies/${number}`, record.policy);
    await client.openPolicy(record);
    await synced(number, mchid);
    return number;
  }

  async function synced(number: string, mchid = MERCHANT): Promise<void> {
    await until(async () => {
      const { sync, revision, synced_revision } = await client.status(idOf(number, mchid));
      return sync === 'SYNCED' && revision === synced_revision;
    });
  }

  async function events(number: string): Promise<number> {
    const handle = client.temporal.workflow.getHandle(`policy/${MERCHANT}/${number}`);
    return (await handle.describe()).historyLength;
  }

  /** No workflow task is under way, and the one call is in its queue. */
  async function atRest(number: string): Promise<boolean> {
    const { raw } = await client.temporal.workflow.getHandle(`policy/${MERCHANT}/${number}`).describe();
    const calls = raw.pendingActivities ?? [];
    return !raw.pendingWorkflowTask && calls.length === 1 && calls[0]?.activityType?.name === 'push';
  }

  return {
    lines,
    log,
    write,
    control,
    faults,
    metrics,
    holdOf,
    saidAgain,
    requests,
    requestsOf,
    alerts,
    goneOn,
    approved,
    synced,
    events,
    atRest,
    /** For a hook of who uses it: where a file runs by itself, Node does not await one before the next. */
    ready: async () => {
      await started;
      return { directory, storage, worker, client, env, settings, later };
    },
  };
}

export type HeldMerchants = ReturnType<typeof heldMerchants>;
