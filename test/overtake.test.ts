// Two workers, two merchants, real servers: who is served first, by the order in which calls reach the sandboxes.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { mostWithin, percentile } from '../bench/figures.ts';
import { connectPolicyClient } from '../client/connect.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import type { PolicyId } from '../client/start_operation.ts';
import { waitSynced } from '../client/wait.ts';
import { makeKey } from '../codec/keys.ts';
import { workflowIdOf } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { merchantsFile } from '../sandbox/keys.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { type Sandbox, startSandbox } from '../sandbox/server.ts';
import { readSettings } from '../worker/settings.ts';
import { type RunningWorker, startWorker } from '../worker/worker.ts';
import { makeNamespace, type Namespace, until } from './client_namespace.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import './quiet.ts';
import { keysIn } from './made_keys.ts';
import { type Database, startDatabase } from './storage_fixture.ts';

const [BUSY, IDLE] = ['1900000031', '1900000032'];
/** So many verifications that at this rate half a minute goes by before half of them are made. */
const [WAITING, RATE] = [60, 1];
const QUICK = 500;
const PATIENCE_MS = 120_000;

let directory: string;
let temporal: Namespace;
let database: Database;
let client: PolicyClient;
const sandboxes = new Map<string, Sandbox>();
const workers: RunningWorker[] = [];

async function startMerchant(mchid: string): Promise<void> {
  const keys = await keysIn(join(directory, mchid));
  const file = join(keys, 'sandbox.json');
  await writeFile(file, JSON.stringify({ ...JSON.parse(await readFile(file, 'utf8')), mchid }));
  sandboxes.set(mchid, await startSandbox({ keys, strict: true }));
}

/** The merchants that the workers serve, and at which rate each. */
async function serve(rates: Record<string, number>): Promise<void> {
  const settings = Object.entries(rates).map(([mchid, requests_per_second]) => {
    const { keys, url } = sandboxOf(mchid);
    return [mchid, { ...merchantsFile(keys, join(directory, mchid), url)[mchid], requests_per_second }];
  });
  await writeFile(join(directory, 'merchants.json'), JSON.stringify(Object.fromEntries(settings)), { mode: 0o600 });
}

function sandboxOf(mchid: string): Sandbox {
  const sandbox = sandboxes.get(mchid);
  assert.ok(sandbox);
  return sandbox;
}

async function control(mchid: string, method: string, path: string, body?: unknown): Promise<unknown> {
  const given =
    body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const answer = await fetch(`${sandboxOf(mchid).url}/_sandbox/${path}`, { method, ...given });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
  return answer.json();
}

const requests = async (mchid: string): Promise<LoggedRequest[]> =>
  (await control(mchid, 'GET', 'requests')) as LoggedRequest[];

const held = async ({ mchid, out_insurance_no }: PolicyId): Promise<Record<string, unknown>> =>
  (await control(mchid, 'GET', `policies/${out_insurance_no}`)) as Record<string, unknown>;

function isOf({ out_insurance_no }: PolicyId): (request: LoggedRequest) => boolean {
  return ({ path }) => path.endsWith(`/${out_insurance_no}`);
}

/** A policy in force and SYNCED. */
async function opened(mchid: string): Promise<PolicyId> {
  const out_insurance_no = uniqueNumber('O');
  const record = recordOf(
    { out_insurance_no, policy_state: APPROVED, support_renewal: false },
    { mchid, verification: { every: '5s' } },
  );
  await control(mchid, 'PUT', `policies/${out_insurance_no}`, record.policy);
  const { revision } = await client.openPolicy(record);
  const policy = { mchid, out_insurance_no };
  await waitSynced(client, policy, revision, { timeout: PATIENCE_MS });
  return policy;
}

/** The verification that the policy has pending; its first attempt makes no request. */
async function verification({ mchid, out_insurance_no }: PolicyId) {
  const { raw } = await client.temporal.workflow.getHandle(workflowIdOf(mchid, out_insurance_no)).describe();
  const call = raw.pendingActivities?.find(({ activityType }) => activityType?.name === 'verify');
  return call && (call.attempt ?? 1) > 1 ? call : undefined;
}

const SCHEDULED = 1;

/** Whether a verification of the policy is due and waits in the queue of its merchant. */
async function isQueued(policy: PolicyId): Promise<boolean> {
  const call = await verification(policy);
  return call?.state === SCHEDULED && Number(call.scheduledTime?.seconds) * 1000 < Date.now() - 2_000;
}

const all = async (some: PolicyId[], holds: (policy: PolicyId) => Promise<unknown>): Promise<boolean> =>
  (await Promise.all(some.map(holds))).every(Boolean);

/** The first PATCH of the policy, once it has arrived. */
async function patchOf(policy: PolicyId): Promise<LoggedRequest> {
  let patch: LoggedRequest | undefined;
  await until(async () => {
    patch = (await requests(policy.mchid)).filter(isOf(policy)).find(({ method }) => method === 'PATCH');
    return patch !== undefined;
  }, PATIENCE_MS);
  return patch as LoggedRequest;
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'policy-sync-overtake-'));
  [temporal, database] = await Promise.all([makeNamespace(), startDatabase()]);
  await Promise.all([startMerchant(BUSY), startMerchant(IDLE)]);
  await serve({ [BUSY]: QUICK, [IDLE]: QUICK });
  const env = {
    ...temporal.env,
    MONGODB_URI: database.uri,
    POLICY_SYNC_KEYS: makeKey('test'),
    WECHATPAY_MERCHANTS: join(directory, 'merchants.json'),
  };
  const log = { debug() {}, info() {}, warn() {}, error() {} } as never;
  for (let n = 0; n < 2; n++) workers.push(await startWorker({ settings: readSettings(env), log, promote: true }));
  client = await connectPolicyClient({ env, timeout: PATIENCE_MS });
});

after(async () => {
  await Promise.all(workers.map((worker) => worker.shutdown()));
  await client?.close();
  await Promise.all([...sandboxes.values()].map((sandbox) => sandbox.close()));
  await database?.stop();
  await temporal?.stop();
  await rm(directory, { recursive: true, force: true });
});

describe('while verifications of a merchant at its limit wait', () => {
  let policies: PolicyId[];
  let elsewhere: PolicyId;
  let served: { n: number; at: number };

  /** How many of the verifications that waited at the start were made between two requests. */
  async function verified(after: number, before: number): Promise<number> {
    const made = (await requests(BUSY)).filter(({ n, method }) => n > after && n < before && method === 'GET');
    return new Set(made.map(({ path }) => path)).size;
  }

  const lastRequest = async (): Promise<number> => (await requests(BUSY)).at(-1)?.n ?? 0;

  before(async () => {
    elsewhere = await opened(IDLE);
    policies = await Promise.all(Array.from({ length: WAITING }, () => opened(BUSY)));
    await until(() => all(policies, verification), PATIENCE_MS);
    await serve({ [IDLE]: QUICK });
    await until(() => all(policies, isQueued), PATIENCE_MS);
  });

  it('users’ changes leave first, what came due next, and then the verifications, over two workers', async () => {
    const [users, due] = [policies.slice(0, 4), policies.slice(4, 8)];
    const at = wireTime(Date.now() + 2_000);
    await Promise.all(due.map((policy) => client.cancel(policy, { at })));
    const sent = async (policy: PolicyId): Promise<boolean> => (await client.status(policy)).call === 'push';
    await until(() => all(due, sent), PATIENCE_MS);
    // Last in the queue, so that nothing but the priority puts them first.
    await Promise.all(
      users.map((policy, n) => (n % 2 ? client.cancelBySignal(policy) : client.amend(policy, { address: '上海' }))),
    );
    await until(() => all(users, sent), PATIENCE_MS);
    served = { n: await lastRequest(), at: Date.now() };
    await serve({ [IDLE]: QUICK, [BUSY]: RATE });
    const ranks = async (some: PolicyId[]) => (await Promise.all(some.map(patchOf))).map(({ n }) => n);
    const [first, second] = [await ranks(users), await ranks(due)];
    assert.ok(percentile(first, 0.5) < percentile(second, 0.5), `users' ${first}, due ${second}`);
    assert.ok(Math.max(...first) < percentile(second, 0.9), `users' ${first}, due ${second}`);
    // Two workers make some calls at once, of which the order is nobody's promise.
    const before = await verified(served.n, Math.max(...second));
    assert.ok(before < WAITING / 4, `${before} verifications were made before`);
  });

  it('a change of another merchant does not wait for them', async () => {
    const from = await lastRequest();
    await client.cancel(elsewhere);
    const patch = await patchOf(elsewhere);
    const before = (await requests(BUSY)).filter(({ n, at }) => n > from && at < patch.at).length;
    assert.ok(before < WAITING / 4, `${before} calls of the other merchant were made before`);
  });

  it('a policy whose own verification is among them is cancelled and amended before them, by legal calls only', async () => {
    const queued = await Promise.all(policies.map(isQueued));
    const waiting = queued.filter(Boolean).length;
    assert.ok(waiting > WAITING / 2, `${waiting} wait`);
    const policy = policies.findLast((_, n) => queued[n]) as PolicyId;
    const from = await lastRequest();
    const { revision } = await client.amend(policy, { address: '北京市海淀区中关村大街27号' });
    await client.cancelBySignal(policy);
    await waitSynced(client, policy, revision + 1, { timeout: PATIENCE_MS });
    const calls = (await requests(BUSY)).filter(isOf(policy)).filter(({ n }) => n > from);
    assert.ok(
      calls.every(({ method, status }) => method === 'PATCH' && status === 200),
      JSON.stringify(calls),
    );
    const { policy_state, address } = await held(policy);
    assert.deepEqual({ policy_state, address }, { policy_state: INACTIVE, address: '北京市海淀区中关村大街27号' });
    const before = await verified(from, calls.at(-1)?.n ?? 0);
    assert.ok(before < waiting / 2, `${before} of ${waiting} verifications were made before`);
  });

  it('the rate is that of the merchant, not of each worker', async () => {
    const made = (await requests(BUSY)).filter(({ n }) => n > served.n).length;
    const seconds = (Date.now() - served.at) / 1000;
    // The bucket of the server holds a second.
    assert.ok(made <= RATE * (seconds + 2), `${made} calls in ${seconds} s`);
  });
});

describe('the figures of the bench', () => {
  it('the share of a list is its nearest rank', () => {
    const values = Array.from({ length: 60 }, (_, n) => 60 - n);
    assert.deepEqual(
      [0.5, 0.95, 1].map((share) => percentile(values, share)),
      [30, 57, 60],
    );
  });

  it('the worst span counts its first instant and not its end', () => {
    assert.equal(mostWithin([0, 999, 1_000, 1_999, 2_000], 1_000), 2);
    assert.equal(mostWithin([5, 5, 5], 1), 3);
    assert.equal(mostWithin([], 1_000), 0);
  });
});
