import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { NativeConnection, Worker } from '@temporalio/worker';
import { connectPolicyClient } from '../client/connect.ts';
import { makeKey } from '../codec/keys.ts';
import { makeKeys, merchantsFile } from '../sandbox/keys.ts';
import { buildWorkflows, isSealed } from '../worker/bundle.ts';
import { deploymentVersion } from '../worker/deployment.ts';
import { readSettings, SettingsError } from '../worker/settings.ts';
import { startWorker } from '../worker/worker.ts';
import { makeNamespace, type Namespace, until } from './client_namespace.ts';
import { CommandLine } from './command_process.ts';
import { MCHID, recordOf, uniqueNumber } from './fixtures.ts';

// A worker starts, polls and ends with MongoDB away.
const MONGODB_URI = 'mongodb://127.0.0.1:9/none';
const GONE = 'gone-for-good';

let directory: string;
let env: NodeJS.ProcessEnv;
let temporal: Namespace;
let lines: { level: string; text: string }[] = [];

const at = (level: string) => (fields: object | string, message?: string) =>
  void lines.push({ level, text: message ?? String(fields) });
const log = { debug() {}, info: at('info'), warn: at('warn'), error: at('error') } as never;
const told = (level: string, text: RegExp) => lines.filter((line) => line.level === level && text.test(line.text));

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'policy-sync-version-'));
  const file = join(directory, 'merchants.json');
  const keys = await makeKeys(join(directory, 'keys'));
  await writeFile(file, JSON.stringify(merchantsFile(keys, join(directory, 'keys'), 'http://127.0.0.1:9')), {
    mode: 0o600,
  });
  temporal = await makeNamespace();
  env = { ...temporal.env, MONGODB_URI, WECHATPAY_MERCHANTS: file, POLICY_SYNC_KEYS: undefined };
});

after(async () => {
  await temporal?.stop();
  await rm(directory, { recursive: true, force: true });
});

/** Makes a version the current one that polls no queue of policies: its workers have been gone for longer than Temporal lists them. */
async function makeGoneCurrent(): Promise<void> {
  const connection = await NativeConnection.connect({ address: temporal.address });
  const { namespace } = temporal;
  const worker = await Worker.create({
    connection,
    namespace,
    taskQueue: 'elsewhere',
    workflowBundle: (await buildWorkflows(false)).bundle,
    workerDeploymentOptions: {
      version: deploymentVersion(GONE),
      useWorkerVersioning: true,
      defaultVersioningBehavior: 'AUTO_UPGRADE',
    },
  });
  const running = worker.run();
  await until(async () => {
    const version = { namespace, deploymentName: 'policy-sync', buildId: GONE, version: `policy-sync.${GONE}` };
    await temporal.connection.workflowService.setWorkerDeploymentCurrentVersion({
      ...version,
      ignoreMissingTaskQueues: true,
    });
    return true;
  });
  worker.shutdown();
  await running;
  await connection.close();
}

describe('a current version without workers', { timeout: 180_000 }, () => {
  const command = new CommandLine();
  after(() => command.end());

  it('is told of by the worker, the metric, `show`, `open --wait` and the library, until workers of the current one poll', async (t) => {
    await makeGoneCurrent();
    lines = [];
    const settings = { ...readSettings(env), metrics: { host: '127.0.0.1', port: 0 } };
    const fields: object[] = [];
    const noted = {
      ...(log as object),
      info: (one: object, text: string) => {
        fields.push(one);
        at('info')(one, text);
      },
    };
    const first = await startWorker({ settings, log: noted as never, versionEvery: 200 });
    t.after(() => first.shutdown());
    const idle =
      /^the current version gone-for-good has no worker polling in namespace "test-\w+", so no policy moves: start one of it, or make [0-9a-f]{16}-plain, which polls, the current one with `policy-sync worker --promote`$/;
    // Temporal may not list this worker, too, at its first look: then it is not named as one that could become current.
    const standsStill =
      /^the current version gone-for-good has no worker polling in namespace "test-\w+", so no policy moves: /;
    assert.equal(told('error', standsStill).length, 1, JSON.stringify(lines));
    const port = fields.map((one) => (one as { port?: number }).port).find((found) => found !== undefined);
    const metric = async () => (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    assert.match(await metric(), /^policy_sync_current_version_served\{build_id="gone-for-good"\} 0$/m);

    const client = await connectPolicyClient({ env, timeout: 10_000 });
    t.after(() => client.close());
    await until(async () => idle.test((await client.standstill()) ?? ''));
    const file = join(directory, 'policy.json');
    const number = uniqueNumber('V');
    await writeFile(file, JSON.stringify(recordOf({ out_insurance_no: number })));
    const says = /the current version gone-for-good has no worker polling[^\n]*policy-sync worker --promote/;
    const opened = await command.run(['open', file, '--wait', '--timeout', '6s'], env);
    assert.equal(opened.code, 3);
    assert.match(opened.stderr, says);
    const shown = await command.run(['show', `${MCHID}/${number}`, '--timeout', '6s'], env);
    assert.match(shown.stderr, says);
    assert.equal(shown.stderr.match(new RegExp(says, 'g'))?.length, 1, 'once');

    const second = await startWorker({ settings: readSettings(env), log, promote: true });
    t.after(() => second.shutdown());
    await until(async () => told('info', /^the current version has workers again$/).length === 1);
    assert.equal(told('error', standsStill).length, 1, 'it was told once');
    assert.match(await metric(), /^policy_sync_current_version_served\{build_id="[0-9a-f]{16}-plain"\} 1$/m);
    assert.equal(await client.standstill(), undefined);
  });
});

describe('a build id', () => {
  it('says with its code how the version takes payloads', async () => {
    const ids = await Promise.all([buildWorkflows(false), buildWorkflows(true), buildWorkflows(true, true)]);
    const [plain = '', sealed = '', both = ''] = ids.map(({ buildId }) => buildId);
    assert.match(plain, /^[0-9a-f]{16}-plain$/);
    assert.match(sealed, /^[0-9a-f]{16}-sealed$/);
    assert.match(both, /^[0-9a-f]{16}-sealed-or-plain$/);
    assert.deepEqual([plain, sealed, both, GONE].map(isSealed), [false, true, true, undefined]);
  });
});

describe('a worker without payload keys', { timeout: 120_000 }, () => {
  it('never promotes itself over a namespace whose current version seals, nor takes anything there', async () => {
    for (const allowPlain of ['0', '1']) {
      const own = await makeNamespace();
      const place = { ...env, ...own.env, MONGODB_URI, POLICY_SYNC_ALLOW_PLAIN: allowPlain };
      const withKeys = readSettings({ ...place, POLICY_SYNC_KEYS: makeKey('k1') });
      await (await startWorker({ settings: withKeys, log, promote: true })).shutdown();
      const asked = { namespace: own.namespace, deploymentName: 'policy-sync' };
      const current = async () =>
        (await own.connection.workflowService.describeWorkerDeployment(asked)).workerDeploymentInfo?.routingConfig
          ?.currentDeploymentVersion?.buildId;
      const sealed = await current();
      for (const promote of [true, false])
        await assert.rejects(startWorker({ settings: readSettings(place), log, promote }), (error: unknown) => {
          assert.ok(error instanceof SettingsError, String(error));
          assert.match(
            error.message,
            /^POLICY_SYNC_KEYS: expected the payload keys of namespace "test-\w+", whose current version [0-9a-f]{16}-sealed\S* seals, found nothing: [^\n]*$/,
          );
          return true;
        });
      assert.equal(await current(), sealed);
      await own.stop();
    }
  });
});
