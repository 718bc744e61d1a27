// The engine as users run it, every part of it in a process or at the end of a line, so that each can be stopped, killed,
// started again on its own files, held in the middle of what it does, or slowed.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Db, MongoClient } from 'mongodb';
import { connectPolicyClient } from '../client/connect.ts';
import { Unavailable } from '../client/errors.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import type { PolicyId } from '../client/start_operation.ts';
import { makeKey } from '../codec/keys.ts';
import { differences } from '../policy/difference.ts';
import type { PolicyFields, RecordInput } from '../policy/record.ts';
import { merchantsFile } from '../sandbox/keys.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { startSandbox } from '../sandbox/server.ts';
import type { Call } from '../storage/documents.ts';
import type { Status } from '../workflows/messages.ts';
import { makeNamespace } from './client_namespace.ts';
import { addFaults, eventually, ofPolicy, overlapping, refusedByRule } from './faults_fixture.ts';
import { type Line, lineTo } from './faults_line.ts';
import { ownMongo, ownTemporal, type Server, type WorkerProcess, workerProcess } from './faults_servers.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import { keysIn } from './made_keys.ts';
import { startDatabase, withDatabase } from './storage_fixture.ts';

export interface Policy extends PolicyId {
  record: RecordInput;
}

export interface FaultStage {
  mchid: string;
  client: PolicyClient;
  /** Where TEMPORAL_ and others point: for clients of the test's own. */
  env: NodeJS.ProcessEnv;
  /** Undefined where they are shared with other tests. */
  temporal: Server | undefined;
  mongo: Server | undefined;
  /** Looks at what rests in MongoDB, past every line. */
  stored<T>(look: (database: Db) => Promise<T>): Promise<T>;
  startWorker(): Promise<WorkerProcess>;
  /** A record of a number of its own, which WeChat Pay holds already unless the record uploads it. */
  record(changes?: PolicyFields, settings?: Partial<RecordInput>): Promise<Policy>;
  /** The same, opened and at rest. */
  opened(changes?: PolicyFields, settings?: Partial<RecordInput>): Promise<Policy>;
  faults(policy: PolicyId, ...rules: { method?: string; times?: number; do: object }[]): Promise<void>;
  /** Takes all faults away. */
  mend(): Promise<void>;
  held(policy: PolicyId): Promise<PolicyFields>;
  requests(policy: PolicyId): Promise<LoggedRequest[]>;
  /** What `calls` has of the policy, oldest first. */
  calls(policy: PolicyId): Promise<Call[]>;
  /** Until WeChat Pay holds the revision whole, and nothing is under way but verification. */
  rests(policy: PolicyId, revision?: number): Promise<Status>;
  /** WeChat Pay holds these; nothing illegal was sent, and no two calls overlapped. */
  assertRight(policy: Policy, fields?: PolicyFields): Promise<void>;
  stop(): Promise<void>;
}

export interface StageOptions {
  /** Servers of this stage's own; the others are shared with other tests. */
  own?: readonly ('temporal' | 'mongo')[];
}

export async function setFaultStage({ own = [] }: StageOptions = {}): Promise<FaultStage> {
  const directory = await mkdtemp(join(tmpdir(), 'policy-sync-faults-'));
  const ends: (() => Promise<unknown>)[] = [() => rm(directory, { recursive: true, force: true })];
  const stop = async (): Promise<void> => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  try {
    return { ...(await set(directory, own, (end) => ends.push(end))), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function set(
  directory: string,
  own: readonly string[],
  atEnd: (end: () => Promise<unknown>) => void,
): Promise<Omit<FaultStage, 'stop'>> {
  const temporal = own.includes('temporal') ? await ownTemporal(directory) : undefined;
  if (temporal) atEnd(() => temporal.stop());
  const mongo = own.includes('mongo') ? await ownMongo(directory) : undefined;
  if (mongo) atEnd(() => mongo.stop());
  const namespace = temporal ? undefined : await makeNamespace();
  if (namespace) atEnd(() => namespace.stop());
  const database = mongo ? undefined : await startDatabase();
  if (database) atEnd(() => database.stop());
  const sandbox = await startSandbox({ keys: await keysIn(join(directory, 'keys')), strict: true });
  atEnd(() => sandbox.close());

  const POLICY_SYNC_KEYS = makeKey('test');
  const address = temporal ? `127.0.0.1:${temporal.port}` : (namespace?.address ?? '');
  const MONGODB_URI = database?.uri ?? withDatabase(mongo?.uri ?? '', 'faults');
  const others = Object.entries(process.env).filter(([name]) => !name.startsWith('TEMPORAL_'));
  const env = {
    ...Object.fromEntries(others),
    TEMPORAL_ADDRESS: address,
    TEMPORAL_NAMESPACE: namespace?.namespace ?? 'default',
    MONGODB_URI,
    POLICY_SYNC_KEYS,
  };
  // A client of its own each time: one that lived through a restart may have lost the server for good.
  const stored: FaultStage['stored'] = async (look) => {
    const mongodb = new MongoClient(MONGODB_URI);
    return look(mongodb.db()).finally(() => mongodb.close());
  };
  const client = await connectPolicyClient({ env, timeout: 60_000 });
  atEnd(() => client.close());

  let workers = 0;
  const startWorker: FaultStage['startWorker'] = async () => {
    const name = join(directory, `worker-${++workers}`);
    const lines = {
      temporal: await lineTo({ port: portOf(address) }),
      mongodb: await lineTo({ port: portOf(MONGODB_URI) }),
      wechatpay: await lineTo({ port: portOf(sandbox.url) }),
    };
    for (const line of Object.values(lines)) atEnd(() => line.close());
    const wechatPay = merchantsFile(sandbox.keys, join(directory, 'keys'), throughLine(sandbox.url, lines.wechatpay));
    await writeFile(`${name}.json`, JSON.stringify(wechatPay), { mode: 0o600 });
    const worker = await workerProcess(`${name}.log`, {
      ...env,
      TEMPORAL_ADDRESS: throughLine(address, lines.temporal),
      MONGODB_URI: throughLine(MONGODB_URI, lines.mongodb),
      WECHATPAY_MERCHANTS: `${name}.json`,
    });
    atEnd(() => worker.stop());
    return { ...worker, lines };
  };

  const parts = { mchid: sandbox.keys.mchid, client, stored };
  return { ...parts, env, temporal, mongo, startWorker, ...lives(sandbox.url, parts) };
}

type Lives = Pick<
  FaultStage,
  'record' | 'opened' | 'faults' | 'mend' | 'held' | 'requests' | 'calls' | 'rests' | 'assertRight'
>;

function lives(sandboxUrl: string, { mchid, client, stored }: Pick<FaultStage, 'mchid' | 'client' | 'stored'>): Lives {
  const control = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const headers = { 'content-type': 'application/json' };
    const given = body === undefined ? {} : { headers, body: JSON.stringify(body) };
    const answer = await fetch(`${sandboxUrl}/_sandbox/${path}`, { method, ...given });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
    return answer.json();
  };
  const record: Lives['record'] = async (changes = {}, settings = {}) => {
    const out_insurance_no = uniqueNumber('X');
    const given = recordOf({ out_insurance_no, ...changes }, { ...settings, mchid });
    if (!settings.upload) await control('PUT', `policies/${out_insurance_no}`, given.policy);
    return { mchid, out_insurance_no, record: given };
  };
  // A worker that has just been started may not have asked for work yet: then nobody answers.
  const status = (policy: PolicyId) =>
    client.status(policy).catch((error) => {
      if (!(error instanceof Unavailable)) throw error;
      return undefined;
    });
  const rests: Lives['rests'] = async (policy, revision = 0) => {
    const rested = await eventually(
      () => status(policy),
      (found) =>
        found?.sync === 'SYNCED' &&
        found.revision >= revision &&
        found.synced_revision === found.revision &&
        found.call === 'verify',
      90_000,
    );
    assert.ok(rested);
    return rested;
  };
  const held: Lives['held'] = async ({ out_insurance_no }) =>
    (await control('GET', `policies/${out_insurance_no}`)) as PolicyFields;
  const requests: Lives['requests'] = async ({ out_insurance_no }) =>
    ofPolicy((await control('GET', 'requests')) as LoggedRequest[], out_insurance_no);
  return {
    record,
    opened: async (...given) => {
      const policy = await record(...given);
      await client.openPolicy(policy.record);
      await rests(policy);
      return policy;
    },
    faults: ({ out_insurance_no }, ...rules) =>
      addFaults(
        sandboxUrl,
        rules.map(({ method, times = 1, do: action }) => ({
          match: { out_insurance_no, ...(method && { method }) },
          times,
          do: action,
        })),
      ),
    mend: async () => void (await control('PUT', 'faults', [])),
    held,
    requests,
    calls: ({ out_insurance_no }) =>
      stored((database) =>
        database
          .collection<Call>('calls')
          .find({ policy: `${mchid}/${out_insurance_no}` })
          .sort({ at: 1 })
          .toArray(),
      ),
    rests,
    assertRight: async (policy, fields = {}) => {
      const log = await requests(policy);
      assert.deepEqual(refusedByRule(log), []);
      assert.deepEqual(overlapping(log), []);
      assert.deepEqual(differences({ ...policy.record.policy, ...fields }, await held(policy)), []);
    },
  };
}

function portOf(address: string): number {
  const port = /:(\d+)(?:[/?]|$)/.exec(address)?.[1];
  assert.ok(port, `no port in ${address}`);
  return Number(port);
}

function throughLine(address: string, line: Line): string {
  return address.replace(/[^/@]+:\d+/, `127.0.0.1:${line.port}`);
}
