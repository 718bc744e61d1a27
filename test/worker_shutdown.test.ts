import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import proto from '@temporalio/proto';
import { connectPolicyClient } from '../client/connect.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import { makeKey } from '../codec/keys.ts';
import { workflowIdOf } from '../policy/record.ts';
import { merchantsFile } from '../sandbox/keys.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { type Sandbox, startSandbox } from '../sandbox/server.ts';
import { makeNamespace, type Namespace, until } from './client_namespace.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import { keysIn } from './made_keys.ts';
import { type Database, startDatabase } from './storage_fixture.ts';

const COMMAND = fileURLToPath(new URL('../bin/policy-sync.mjs', import.meta.url));
const COMPLETED = proto.temporal.api.enums.v1.EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED;

let directory: string;
let temporal: Namespace;
let database: Database;
let sandbox: Sandbox;
let client: PolicyClient;
let env: NodeJS.ProcessEnv;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'policy-sync-shutdown-'));
  const keys = await keysIn(join(directory, 'keys'));
  [temporal, database, sandbox] = await Promise.all([
    makeNamespace(),
    startDatabase(),
    startSandbox({ keys, strict: true }),
  ]);
  const merchants = join(directory, 'merchants.json');
  await writeFile(merchants, JSON.stringify(merchantsFile(sandbox.keys, keys, sandbox.url)), { mode: 0o600 });
  env = {
    ...temporal.env,
    MONGODB_URI: database.uri,
    POLICY_SYNC_KEYS: makeKey('test'),
    WECHATPAY_MERCHANTS: merchants,
  };
  client = await connectPolicyClient({ env, timeout: 60_000 });
});

after(async () => {
  await client?.close();
  await sandbox?.close();
  await database?.stop();
  await temporal?.stop();
  await rm(directory, { recursive: true, force: true });
});

interface Child {
  process: ChildProcess;
  /** Exit code and standard error, once it has ended. */
  ended: Promise<{ code: number | null; stderr: string }>;
}

const children: ChildProcess[] = [];
after(() => {
  for (const child of children) if (child.exitCode === null) child.kill('SIGKILL');
});

function startProcess(changes: NodeJS.ProcessEnv = {}): Child {
  const child = spawn(process.execPath, [COMMAND, 'worker', '--promote'], {
    env: { ...env, ...changes },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  children.push(child);
  const ended = Promise.all([text(child.stderr), once(child, 'close')]).then(([stderr, [code]]) => ({ code, stderr }));
  return { process: child, ended };
}

async function control(method: string, path: string, body?: unknown): Promise<Response> {
  return fetch(`${sandbox.url}/_sandbox/${path}`, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
}

async function requestsOf(number: string): Promise<LoggedRequest[]> {
  const all = (await (await control('GET', 'requests?after=0')).json()) as LoggedRequest[];
  return all.filter(({ path }) => path.endsWith(`/${number}`));
}

describe('SIGTERM to a worker process', () => {
  let number: string;
  let child: Child;
  beforeEach(() => {
    number = uniqueNumber('S');
  });

  /** A policy whose first call is under way for so long. */
  async function callUnderWay(delay_ms: number): Promise<void> {
    await control('PUT', 'faults', [{ match: { out_insurance_no: number }, times: 1, do: { delay_ms } }]);
    child = startProcess();
    const record = recordOf({ out_insurance_no: number }, { mchid: sandbox.keys.mchid });
    await control('PUT', `policies/${number}`, record.policy);
    await client.openPolicy(record);
    await until(async () => (await requestsOf(number)).length > 0);
  }

  it('lets a call under way finish, its outcome known to Temporal and MongoDB, then ends with exit code 0', async () => {
    await callUnderWay(3_000);
    child.process.kill('SIGTERM');
    const { code, stderr } = await child.ended;
    assert.equal(code, 0, stderr);
    const [call, ...more] = await requestsOf(number);
    assert.deepEqual([call?.method, call?.status, more.length], ['GET', 200, 0]);
    const kept = await database.client
      .db()
      .collection('calls')
      .find({ policy: `${sandbox.keys.mchid}/${number}` })
      .toArray();
    assert.deepEqual(
      kept.map(({ outcome }) => outcome),
      ['confirmed'],
    );
    const { history } = await temporal.connection.workflowService.getWorkflowExecutionHistory({
      namespace: temporal.namespace,
      execution: { workflowId: workflowIdOf(sandbox.keys.mchid, number) },
    });
    const done = history?.events?.filter(({ eventType }) => eventType === COMPLETED) ?? [];
    // The call: its number was claimed within the first task.
    assert.equal(done.length, 1);
  });

  it('that comes twice at once, as Ctrl-C under npm does, is one: the call under way finishes', async () => {
    await callUnderWay(3_000);
    child.process.kill('SIGINT');
    child.process.kill('SIGTERM');
    const { code, stderr } = await child.ended;
    assert.equal(code, 0, stderr);
    const [call] = await requestsOf(number);
    assert.equal(call?.status, 200);
  });

  it('again, a second later, ends it at once, whatever is under way', async () => {
    await callUnderWay(8_000);
    child.process.kill('SIGTERM');
    await until(async () => child.process.exitCode !== null || !child.process.kill('SIGTERM'));
    const { code } = await child.ended;
    assert.equal(code, 1);
    const [call] = await requestsOf(number);
    assert.equal(call?.ended_at, null);
  });

  it('whose log holds nothing personal', async () => {
    child = startProcess({ POLICY_SYNC_LOG_LEVEL: 'debug' });
    const record = recordOf({ out_insurance_no: number }, { mchid: sandbox.keys.mchid });
    await client.openPolicy(record);
    await until(async () => (await requestsOf(number)).length > 0);
    child.process.kill('SIGTERM');
    const { stderr } = await child.ended;
    assert.match(stderr, new RegExp(number));
    for (const value of ['张三', '晨晖路', '粤B', sandbox.keys.api_v3_key]) assert.ok(!stderr.includes(value), value);
    for (const line of stderr.trim().split('\n')) assert.doesNotThrow(() => JSON.parse(line), line);
  });
});

describe('a worker process that cannot start', () => {
  it('says why, a line for each fault, and ends with exit code 1', async () => {
    const { code, stderr } = await startProcess({ MONGODB_URI: undefined, POLICY_SYNC_KEYS: 'x' }).ended;
    assert.equal(code, 1);
    assert.deepEqual(
      stderr
        .trim()
        .split('\n')
        .map((line) => /^policy-sync worker: (\w+): expected .*, found/.exec(line)?.[1]),
      ['MONGODB_URI', 'POLICY_SYNC_KEYS'],
    );
  });

  // Whatever had been begun must not keep the process from ending.
  const cases: [what: string, setting: string, found: string][] = [
    ['merchants file', 'WECHATPAY_MERCHANTS', '/nowhere.json'],
    ['metrics’ port', 'POLICY_SYNC_METRICS_PORT', 'one in use'],
    ['server', 'TEMPORAL_ADDRESS', 'no host'],
    ['namespace', 'TEMPORAL_NAMESPACE', 'nowhere'],
  ];
  for (const [what, setting, found] of cases)
    it(`for want of its ${what} says which, and ends`, async () => {
      const metrics = { POLICY_SYNC_METRICS_PORT: '0' };
      const taken = setting === 'POLICY_SYNC_METRICS_PORT' ? new URL(sandbox.url).port : found;
      const { code, stderr } = await startProcess({ ...metrics, [setting]: taken }).ended;
      assert.equal(code, 1);
      const said = stderr.trim().split('\n').at(-1) ?? '';
      assert.ok(said.startsWith(`policy-sync worker: ${setting}: expected `), said);
      assert.ok(said.includes(taken), said);
    });
});
