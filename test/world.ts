// The engine as the tests run it: a real Temporal server, a real MongoDB, the strict sandbox over HTTP, and workers in
// this process. What a worker process does beside that has tests of its own (test/worker*.test.ts).
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { NativeConnection, Worker } from '@temporalio/worker';
import { callActivities } from '../activities/calls.ts';
import type { Log } from '../activities/log.ts';
import { recordActivities } from '../activities/records.ts';
import { PolicyClient } from '../client/policy_client.ts';
import { dataConverter } from '../codec/data_converter.ts';
import { makeKey, parseKeys } from '../codec/keys.ts';
import { type Mongo, startMongo } from '../embedded/mongodb.ts';
import { startTimeSkipping } from '../embedded/time_skipping.ts';
import { type PolicyFields, workflowIdOf } from '../policy/record.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import { merchantsFile } from '../sandbox/keys.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { type Sandbox, startSandbox } from '../sandbox/server.ts';
import { connect, type Storage } from '../storage/connection.ts';
import { WechatPay } from '../wechatpay/client.ts';
import { readMerchants } from '../wechatpay/merchants_file.ts';
import { buildWorkflows } from '../worker/bundle.ts';
import { logSinks } from '../worker/log.ts';
import { callQueueOf, type Status, WORKFLOW_QUEUE } from '../workflows/messages.ts';
import { longer, makeNamespace } from './client_namespace.ts';
import './quiet.ts';
import { keysIn } from './made_keys.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {} };

/** A line that workflows wrote into the worker's log. */
export type Logged = { level: 'info' | 'warn'; message: string } & Record<string, unknown>;

export interface WorldOptions {
  /** The calendar: years in seconds. */
  timeSkipping?: boolean;
  /** Payload keys; a new one by default, none for plain payloads. */
  keys?: string | null;
  /** Replaces how the merchant's client is found; undefined answers stand for a merchant that is unavailable. */
  wechatPay?: (usual: WechatPay) => WechatPay | undefined;
  /** Replaces where records go. */
  mongoUri?: string;
  /** The rate of the merchant's queue. */
  requestsPerSecond?: number;
  /** Workers write events. */
  events?: boolean;
}

export interface World {
  client: PolicyClient;
  temporal: Client;
  address: string;
  namespace: string;
  storage: Storage;
  sandbox: Sandbox;
  mchid: string;
  directory: string;
  env: TestWorkflowEnvironment | undefined;
  /** Puts a policy at WeChat Pay, behind everybody's back. */
  put(policy: PolicyFields & { out_insurance_no: string }): Promise<void>;
  patch(number: string, fields: PolicyFields): Promise<void>;
  /** What WeChat Pay holds, names in the clear; undefined where it knows no such policy. */
  held(number: string): Promise<PolicyFields | undefined>;
  forget(number: string): Promise<void>;
  faults(...rules: FaultRule[]): Promise<void>;
  requests(number?: string): Promise<LoggedRequest[]>;
  /** Until they are told to stop, or the world is closed. */
  startWorkers(which?: { workflows?: boolean; calls?: boolean }): Promise<() => Promise<void>>;
  /** Until what the policy says of itself is as wanted. */
  until(number: string, wanted: (status: Status) => boolean, patience?: number): Promise<Status>;
  /**
   * Until the policy's verification waits for its time. On the time-skipping server one that is cancelled while its
   * attempt runs, and then fails, never ends; the real one ends it.
   */
  armed(number: string): Promise<void>;
  /** What workflows told the worker's log of a policy, without its number. */
  logged(number: string): Logged[];
  /** Rejects where the policy's history does not replay on the workflow code. */
  replay(number: string, runId?: string): Promise<void>;
  close(): Promise<void>;
}

export async function startWorld(options: WorldOptions = {}): Promise<World> {
  const directory = await mkdtemp(join(tmpdir(), 'policy-sync-world-'));
  const closers: (() => Promise<unknown>)[] = [() => rm(directory, { recursive: true, force: true })];
  const log = (): void => {};
  const lines: Logged[] = [];
  const at = (level: Logged['level']) => (fields: object, message: string) => {
    lines.push({ ...fields, level, message });
  };
  const policyLog = { ...silent, info: at('info'), warn: at('warn') } as never as Log;
  const keyring = options.keys === null ? undefined : parseKeys(options.keys ?? makeKey('test'));
  const converter = dataConverter(keyring, { allowPlain: false });

  let env: TestWorkflowEnvironment | undefined;
  let temporal: Client;
  let connection: NativeConnection;
  let [address, namespace] = ['', 'default'];
  if (options.timeSkipping) {
    env = await startTimeSkipping({ log, client: { dataConverter: converter } });
    closers.push(() => (env as TestWorkflowEnvironment).teardown());
    temporal = env.client;
    connection = env.nativeConnection;
  } else {
    // A namespace of its own: no other test's worker, with other keys, may take its tasks.
    const own = await makeNamespace();
    ({ address, namespace } = own);
    temporal = new Client({ connection: own.connection, namespace, dataConverter: converter });
    connection = await NativeConnection.connect({ address });
    closers.push(
      () => own.stop(),
      () => connection.close(),
    );
  }

  let uri = options.mongoUri ?? process.env.TEST_MONGODB_URI;
  if (!uri) {
    const mongo: Mongo = await startMongo({ log, useEnvironment: false });
    closers.push(() => mongo.stop());
    uri = mongo.uri;
  }
  const storage = await connect(uri, { keyring });
  closers.push(() => storage.close());

  const keysDirectory = await keysIn(join(directory, 'keys'));
  const sandbox = await startSandbox({ keys: keysDirectory, strict: true });
  closers.push(() => sandbox.close());
  const { merchants } = await readMerchants(
    await written(directory, merchantsFile(sandbox.keys, keysDirectory, sandbox.url)),
  );
  const [merchant] = merchants.values();
  if (!merchant) throw new Error('the sandbox has no merchant');
  const usual = new WechatPay(merchant);

  const control = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(`${sandbox.url}/_sandbox/${path}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    });
    if (response.status === 404) return undefined;
    if (!response.ok) throw new Error(`sandbox: ${response.status} ${await response.text()}`);
    return response.status === 204 ? undefined : response.json();
  };

  /** Asked for by many tests again and again: those that have ended, from the first on without a gap, change no more. */
  const ended: LoggedRequest[] = [];
  const requests = async (): Promise<LoggedRequest[]> => {
    const later = (await control('GET', `requests?after=${ended.length}`)) as LoggedRequest[];
    for (const request of later) if (request.ended_at !== null && request.n === ended.length + 1) ended.push(request);
    return [...ended, ...later.filter(({ n }) => n > ended.length)];
  };

  const startWorkers: World['startWorkers'] = async ({ workflows = true, calls = true } = {}) => {
    const events = options.events ?? false;
    const place = { storage, log: silent as never, events, ...(keyring && { payloadKey: keyring.active.id }) };
    const workers: Worker[] = [];
    const common = { connection, namespace, dataConverter: converter, shutdownGraceTime: '5s' } as const;
    if (workflows)
      workers.push(
        await Worker.create({
          ...common,
          taskQueue: WORKFLOW_QUEUE,
          sinks: logSinks(policyLog),
          workflowBundle: (await buildWorkflows(keyring !== undefined)).bundle,
          activities: recordActivities(place),
        }),
      );
    if (calls)
      workers.push(
        await Worker.create({
          ...common,
          taskQueue: callQueueOf(merchant.mchid),
          activities: callActivities({
            ...place,
            wechatPay: () => (options.wechatPay ? options.wechatPay(usual) : usual),
          }),
          maxTaskQueueActivitiesPerSecond: options.requestsPerSecond ?? 500,
        }),
      );
    const running = workers.map((worker) => worker.run());
    const stop = async (): Promise<void> => {
      for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
      await Promise.all(running);
    };
    closers.push(stop);
    return stop;
  };

  const client = new PolicyClient(temporal);
  return {
    client,
    temporal,
    address,
    namespace,
    storage,
    sandbox,
    mchid: merchant.mchid,
    directory,
    env,
    put: async (policy) => void (await control('PUT', `policies/${policy.out_insurance_no}`, policy)),
    patch: async (number, fields) => void (await control('PATCH', `policies/${number}`, fields)),
    held: async (number) => (await control('GET', `policies/${number}`)) as PolicyFields | undefined,
    forget: async (number) => void (await control('DELETE', `policies/${number}`)),
    faults: async (...rules) => void (await control('PUT', 'faults', rules)),
    requests: async (number) => {
      const all = await requests();
      return number === undefined ? all : all.filter(({ path }) => path.endsWith(`/${number}`));
    },
    startWorkers,
    until: async (number, wanted, patience = 60_000) => {
      const from = Date.now();
      for (let pause = 50; ; pause = longer(pause)) {
        const status = await client.status({ mchid: merchant.mchid, out_insurance_no: number });
        if (wanted(status)) return status;
        if (Date.now() - from > patience) throw new Error(`not so after ${patience} ms: ${JSON.stringify(status)}`);
        await delay(pause);
      }
    },
    armed: async (number) => {
      const handle = temporal.workflow.getHandle(workflowIdOf(merchant.mchid, number));
      const attempts = async () => (await handle.describe()).raw.pendingActivities?.map(({ attempt }) => attempt ?? 0);
      for (const from = Date.now(); !(await attempts())?.some((attempt) => attempt > 1); await delay(50))
        if (Date.now() - from > 20_000) throw new Error(`no verification waits: ${JSON.stringify(await attempts())}`);
    },
    logged: (number) =>
      lines
        .filter(({ out_insurance_no }) => out_insurance_no === number)
        .map(({ mchid: _mchid, out_insurance_no: _number, ...line }) => line as Logged),
    replay: async (number, runId) => {
      const workflowId = workflowIdOf(merchant.mchid, number);
      const workflowBundle = (await buildWorkflows(keyring !== undefined)).bundle;
      const history = await temporal.workflow.getHandle(workflowId, runId).fetchHistory();
      await Worker.runReplayHistory({ workflowBundle, dataConverter: converter }, history, workflowId);
    },
    close: async () => {
      for (const close of closers.reverse()) await close();
    },
  };
}

async function written(directory: string, settings: unknown): Promise<string> {
  const file = join(directory, 'merchants.json');
  await writeFile(file, JSON.stringify(settings), { mode: 0o600 });
  return file;
}
