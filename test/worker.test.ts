import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Client } from '@temporalio/client';
import proto from '@temporalio/proto';
import { scheduleAudit, unscheduleAudit } from '../command/audit_schedule.ts';
import { makeKeys, merchantsFile } from '../sandbox/keys.ts';
import { warnUnlessAudited } from '../worker/audit_schedule.ts';
import { buildWorkflows } from '../worker/bundle.ts';
import { readSettings, SettingsError } from '../worker/settings.ts';
import { type RunningWorker, startWorker } from '../worker/worker.ts';
import { AUDIT_SCHEDULE, callQueueOf, SEARCH_ATTRIBUTES, WORKFLOW_QUEUE } from '../workflows/messages.ts';
import { makeNamespace, type Namespace, until } from './client_namespace.ts';
import './quiet.ts';
import { keysIn } from './made_keys.ts';

const { TASK_QUEUE_TYPE_ACTIVITY: ACTIVITY, TASK_QUEUE_TYPE_WORKFLOW: WORKFLOW } =
  proto.temporal.api.enums.v1.TaskQueueType;
const [FIRST, SECOND] = ['1900000021', '1900000022'];
// Nobody serves the discard port: connections are refused at once.
const NOWHERE = '127.0.0.1:9';

let directory: string;
let file: string;
let merchant: object;
let temporal: Namespace;
let lines: string[] = [];

const add = (fields: object | string, message?: string): void =>
  void lines.push(`${message ?? fields} ${JSON.stringify(fields)}`);
const log = { debug() {}, info: add, warn: add, error: add } as never;
const write = (settings: object): Promise<void> => writeFile(file, JSON.stringify(settings), { mode: 0o600 });
const settingsWith = (env: NodeJS.ProcessEnv = {}) =>
  readSettings({
    ...temporal.env,
    // A worker starts, polls and ends with MongoDB away.
    MONGODB_URI: `mongodb://${NOWHERE}/none`,
    WECHATPAY_MERCHANTS: file,
    POLICY_SYNC_KEYS: undefined,
    ...env,
  });

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'policy-sync-worker-'));
  file = join(directory, 'merchants.json');
  const keys = await makeKeys(await keysIn(join(directory, 'keys')));
  merchant = Object.values(merchantsFile(keys, join(directory, 'keys'), `http://${NOWHERE}`))[0] ?? {};
  await write({ [FIRST]: merchant });
  temporal = await makeNamespace();
  const { namespace, connection } = temporal;
  const searchAttributes = Object.values(SEARCH_ATTRIBUTES).map(({ name }) => name);
  await connection.operatorService.removeSearchAttributes({ namespace, searchAttributes });
});

after(async () => {
  await temporal?.stop();
  await rm(directory, { recursive: true, force: true });
});

/** Who polls the queue, as the server knows it: pollers are told of for minutes after they have gone. */
async function describeQueue(name: string, taskQueueType = ACTIVITY) {
  return temporal.connection.workflowService.describeTaskQueue({
    namespace: temporal.namespace,
    taskQueue: { name },
    taskQueueType,
  });
}

const pollers = async (queue: string, type = ACTIVITY) => (await describeQueue(queue, type)).pollers ?? [];

async function currentVersion(): Promise<string | null | undefined> {
  const { workerDeploymentInfo } = await temporal.connection.workflowService.describeWorkerDeployment({
    namespace: temporal.namespace,
    deploymentName: 'policy-sync',
  });
  return workerDeploymentInfo?.routingConfig?.currentDeploymentVersion?.buildId;
}

describe('a worker where audits are scheduled', () => {
  it('is silent about them, and says so once their schedule is paused', async () => {
    const { connection, namespace } = temporal;
    const client = new Client({ connection, namespace });
    await scheduleAudit(client, { every: 3_600_000, fix: true });
    const about = async (): Promise<string[]> => {
      lines = [];
      await warnUnlessAudited(client, log);
      return lines.map((line) => line.split(',')[0] ?? '');
    };
    assert.deepEqual(await about(), []);
    await client.schedule.getHandle(AUDIT_SCHEDULE).pause();
    assert.deepEqual(await about(), ['the schedule of the audit is paused']);
    await unscheduleAudit(client);
    assert.deepEqual(await about(), ['no audit is scheduled']);
  });
});

describe('a worker', () => {
  let worker: RunningWorker | undefined;
  before(() => {
    lines = [];
  });
  after(() => worker?.shutdown());

  it('starts while MongoDB is away, registers search attributes, and polls for policies and merchants', async () => {
    worker = await startWorker({ settings: settingsWith(), log });
    const { namespace, connection } = temporal;
    const { customAttributes = {} } = await connection.operatorService.listSearchAttributes({ namespace });
    for (const { name } of Object.values(SEARCH_ATTRIBUTES)) assert.ok(name in (customAttributes ?? {}), name);
    await until(async () => (await pollers(WORKFLOW_QUEUE, WORKFLOW)).length > 0);
    await until(async () => (await pollers(callQueueOf(FIRST))).length > 0);
    await until(async () => lines.some((line) => line.startsWith('calls go on without MongoDB')));
  });

  it('says so while no version is the current one', () => {
    assert.ok(lines.some((line) => line.includes('policy-sync worker --promote')));
    assert.ok(lines.some((line) => line.startsWith('POLICY_SYNC_KEYS is not set')));
  });

  it('says so while no audit is scheduled', () => {
    const said = lines.filter((line) => line.startsWith('no audit is scheduled'));
    assert.equal(said.length, 1);
    assert.match(String(said), /policy-sync audit --every 1h --fix/);
  });

  it('serves an added merchant within 10 s', async () => {
    const began = Date.now();
    await write({ [FIRST]: merchant, [SECOND]: merchant });
    await until(async () => (await pollers(callQueueOf(SECOND))).length > 0);
    assert.ok(Date.now() - began < 10_000);
  });

  it('asks Temporal for another rate where the file says so', async () => {
    await write({ [FIRST]: { ...merchant, requests_per_second: 7 }, [SECOND]: merchant });
    await until(async () => (await pollers(callQueueOf(FIRST))).some(({ ratePerSecond }) => ratePerSecond === 7));
  });

  it('lets go of a removed merchant, and of nobody else', async () => {
    await write({ [FIRST]: merchant });
    await until(async () =>
      lines.some((line) => line.includes('Worker of the merchant has ended') && line.includes(SECOND)),
    );
    const last = (await pollers(callQueueOf(SECOND)))[0]?.lastAccessTime;
    await until(async () => (await pollers(callQueueOf(FIRST))).some(({ ratePerSecond }) => ratePerSecond === 50));
    assert.deepEqual((await pollers(callQueueOf(SECOND)))[0]?.lastAccessTime, last);
  });

  it('ends when asked to, everything released', async () => {
    await worker?.shutdown();
    await worker?.done;
    worker = undefined;
  });

  it('told to promote makes its version the current one, and again when it is', async () => {
    const { buildId } = await buildWorkflows(false);
    for (const _ of ['first', 'again']) {
      const promoted = await startWorker({ settings: settingsWith(), log, promote: true });
      assert.equal(await currentVersion(), buildId);
      await promoted.shutdown();
    }
  });

  it('has the same version from whatever folder it is run', async () => {
    const here = process.cwd();
    const { buildId } = await buildWorkflows(true);
    process.chdir(directory);
    try {
      assert.equal((await buildWorkflows(true)).buildId, buildId);
    } finally {
      process.chdir(here);
    }
  });

  it('serves metrics where it is given a port, without a policy’s number', async () => {
    const settings = { ...settingsWith(), metrics: { host: '127.0.0.1', port: 0 } };
    let metrics = '';
    const listening = (line: string) => /metrics .*"port":(\d+)/.exec(line)?.[1];
    lines = [];
    const served = await startWorker({ settings, log });
    try {
      const port = lines.map(listening).find((found) => found !== undefined);
      metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    } finally {
      await served.shutdown();
    }
    assert.match(metrics, /^policy_sync_merchants_served 1$/m);
    assert.match(
      metrics,
      new RegExp(`^policy_sync_certificate_expiry_timestamp_seconds\\{mchid="${FIRST}",serial_no="\\w+"\\} \\d`, 'm'),
    );
  });
});

describe('a worker that cannot start', () => {
  const refused = async (env: NodeJS.ProcessEnv, fault: RegExp): Promise<void> => {
    await assert.rejects(startWorker({ settings: settingsWith(env), log }), (error: Error) => {
      assert.ok(error instanceof SettingsError, String(error));
      assert.match(error.message, fault);
      return true;
    });
  };

  it('for want of its namespace says which', () =>
    refused({ TEMPORAL_NAMESPACE: 'nowhere' }, /^TEMPORAL_NAMESPACE: expected [^\n]*, found "nowhere"[^\n]*$/));

  it('at an address that is none says which', () =>
    refused({ TEMPORAL_ADDRESS: 'no host' }, /^TEMPORAL_ADDRESS: expected [^\n]*$/));

  it('for want of the server tries again, says so, and stops when asked to', async () => {
    lines = [];
    const asked = new AbortController();
    const starting = startWorker({ settings: settingsWith({ TEMPORAL_ADDRESS: NOWHERE }), log, signal: asked.signal });
    starting.catch(() => {});
    await until(async () => lines.some((line) => /^TEMPORAL_ADDRESS: expected .*; trying again/.test(line)));
    asked.abort();
    await assert.rejects(starting, (error) => error === asked.signal.reason);
  });
});
