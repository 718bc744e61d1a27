import assert from 'node:assert/strict';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { connectPolicyClient } from '../client/connect.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import { makeKey, parseKeys } from '../codec/keys.ts';
import { freePort } from '../embedded/ports.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import { makeKeys, merchantsFile } from '../sandbox/keys.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { type Sandbox, startSandbox } from '../sandbox/server.ts';
import { connect, type Storage } from '../storage/connection.ts';
import type { StoredHold } from '../storage/documents.ts';
import { listHolds, writeHold } from '../storage/holds.ts';
import { countAttention } from '../storage/lives.ts';
import { WechatPay } from '../wechatpay/client.ts';
import { MerchantFaultError } from '../wechatpay/errors.ts';
import { readMerchants } from '../wechatpay/merchants_file.ts';
import { Holds } from '../worker/holds.ts';
import { readSettings } from '../worker/settings.ts';
import { type RunningWorker, startWorker } from '../worker/worker.ts';
import { makeNamespace, type Namespace, until } from './client_namespace.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import './quiet.ts';
import { type Database, startDatabase } from './storage_fixture.ts';

/** Instead of a minute. */
const PROBE_EVERY_MS = 1_500;
const [MERCHANT, OTHER, LATE] = ['1900000001', '1900000002', '1900000003'];
const CODE = 'C0123456789';

// A worker as it runs in production, with two merchants, each with a WeChat Pay of its own; a third is in the file later.
let directory: string;
let temporal: Namespace;
let database: Database;
let storage: Storage;
let worker: RunningWorker;
let client: PolicyClient;
let metricsUrl: string;
let env: NodeJS.ProcessEnv;
const sandboxes = new Map<string, Sandbox>();
type Settings = Record<string, Record<string, unknown>>;
let settings: Settings;
let later: Settings;
let lines: { level: string; message: string; fields: Record<string, unknown> }[] = [];

const logged = (level: string) => (fields: object | string, message?: string) =>
  void lines.push({
    level,
    message: message ?? String(fields),
    fields: typeof fields === 'object' ? (fields as Record<string, unknown>) : {},
  });
const log = { debug: logged('debug'), info: logged('info'), warn: logged('warn'), error: logged('error') } as never;

const write = (what = settings, file = 'merchants.json') =>
  writeFile(join(directory, file), JSON.stringify(what), { mode: 0o600 });

before(async () => {
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
  lines = [];
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
const idOf = (out_insurance_no: string, mchid = MERCHANT) => ({ mchid, out_insurance_no });

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

const FAULTS: [string, FaultRule['do'] & { status: number }][] = [
  ['401, unsigned', { status: 401, code: 'SIGN_ERROR', unsigned: true }],
  ['403 NO_AUTH', { status: 403, code: 'NO_AUTH' }],
];

describe("a merchant's fault", () => {
  for (const [what, fault] of FAULTS)
    it(`${what}: holds its calls and none of its policies, probes, alerts once, and goes on with users' changes first`, async () => {
      const numbers = await Promise.all(Array.from({ length: 6 }, () => approved()));
      const [first = '', ...others] = numbers;
      await faults({ do: fault });
      const before = (await requests()).length;
      await client.amend(idOf(first), { address: 'B' });
      await until(async () => alerts().length > 0);
      await Promise.all(others.map((number) => client.cancel(idOf(number))));
      await until(async () => (await Promise.all(numbers.map(atRest))).every(Boolean));
      const waiting = await Promise.all(numbers.map(events));
      const probes = async () => (await requests()).length - before;
      const held = await probes();
      await until(async () => (await probes()) >= held + 3);
      for (const number of numbers) assert.equal((await client.status(idOf(number))).sync, 'PENDING');
      assert.deepEqual(await Promise.all(numbers.map(events)), waiting, 'no event while they wait');
      const sent = (await requests()).slice(before);
      assert.ok(sent.filter(({ method }) => method === 'PATCH').length <= 3, 'held after the first that met the fault');
      assert.equal(alerts().length, 1);
      assert.deepEqual([alerts()[0]?.fields.mchid, alerts()[0]?.fields.status], [MERCHANT, fault.status]);
      assert.match(alerts()[0]?.message ?? '', /keys.*certificate.*permission.*clock/);
      assert.match(await metrics(), /policy_sync_merchant_held\{mchid="1900000001",reason="fault"\} 1/);
      const [hold] = await listHolds(storage);
      assert.deepEqual([hold?._id, hold?.status], [MERCHANT, fault.status]);

      const released = (await requests()).length;
      await faults();
      await Promise.all(numbers.map((number) => synced(number)));
      const after = (await requests()).slice(released);
      const patches = after.findLastIndex(({ method }) => method === 'PATCH');
      const gets = after.slice(0, patches).filter(({ method }) => method === 'GET');
      assert.ok(gets.length <= 2, 'the probe, and then the changes');
      for (const number of others)
        assert.equal(
          ((await control(MERCHANT, 'GET', `policies/${number}`)) as { policy_state: string }).policy_state,
          INACTIVE,
        );
      assert.equal(goneOn().length, 1);
      await until(async () => (await listHolds(storage)).length === 0);
      assert.ok(!(await metrics()).includes('policy_sync_merchant_held{'));
    });

  it('delays no other merchant', async () => {
    const [ours, theirs] = [await approved(), await approved(OTHER)];
    await faults({ do: { status: 401, code: 'SIGN_ERROR', unsigned: true } });
    await client.amend(idOf(ours), { address: 'B' });
    await until(async () => alerts().length > 0);
    await client.approve(idOf(theirs, OTHER), { policy_code: CODE }).catch(() => {});
    await client.cancel(idOf(theirs, OTHER));
    await synced(theirs, OTHER);
    assert.equal((await client.status(idOf(ours))).sync, 'PENDING');
    await faults();
    await synced(ours);
  });

  it('lets messages supersede a call that is held', async () => {
    const number = await approved();
    await faults({ do: { status: 401, code: 'SIGN_ERROR', unsigned: true } });
    await client.amend(idOf(number), { address: 'B' });
    await until(async () => alerts().length > 0);
    await client.amend(idOf(number), { address: 'C' });
    await client.cancel(idOf(number));
    const before = (await requests()).length;
    await faults();
    await synced(number);
    const patches = (await requests()).slice(before).filter(({ method }) => method === 'PATCH');
    assert.equal(patches.length, 1, 'the newest, at once');
  });

  it('a wrong merchant key, set right in the file: probed at once, not a minute later', async () => {
    const number = await approved();
    const good = settings[MERCHANT]?.merchant_keys;
    const wrong = await makeKeys(join(directory, 'wrong'));
    const [key] = Object.values(merchantsFile(wrong, join(directory, 'wrong'), 'http://127.0.0.1:9')) as {
      merchant_keys: object[];
    }[];
    settings = { ...settings, [MERCHANT]: { ...settings[MERCHANT], merchant_keys: key?.merchant_keys } };
    await write();
    await until(async () => lines.some(({ message }) => message === 'merchant changed'));
    await client.amend(idOf(number), { address: 'B' });
    await until(async () => alerts().length > 0);
    assert.equal((await client.status(idOf(number))).block, null);
    settings = { ...settings, [MERCHANT]: { ...settings[MERCHANT], merchant_keys: good } };
    await write();
    await synced(number);
    assert.equal(goneOn().length, 1);
  });

  it('is kept with no message of a probe: WeChat Pay may quote a policy in it, and a probe does not know its values', async () => {
    const number = await approved();
    const denied = { status: 403, code: 'NO_AUTH', message: '无权限: 张三' };
    await faults({ do: denied });
    await client.amend(idOf(number), { address: 'B' });
    await until(async () => (await holdOf()) !== undefined);
    const told = [(await holdOf())?.message, (await saidAgain()).message];
    await faults({ do: { ...denied, status: 401, code: 'SIGN_ERROR', unsigned: true } });
    await until(async () => (await saidAgain()).code === 'SIGN_ERROR');
    told.push((await saidAgain()).message);
    assert.deepEqual(
      told.slice(0, 2),
      ['无权限: …', '无权限: …'],
      'the words of the call that met it, cut of its values',
    );
    assert.match(told[2] ?? '', /^WeChat Pay refuses the signature: check/);
    for (const line of lines) assert.ok(!JSON.stringify(line).includes('张三'));
    await faults();
    await synced(number);
  });

  it('that one policy meets alone holds the others no longer than a probe takes, and is of that policy from then on', async () => {
    const [denied, ...others] = [await approved(), await approved(), await approved()];
    await faults({ match: { out_insurance_no: denied }, do: { status: 403, code: 'NO_AUTH' } });
    await client.amend(idOf(denied), { address: 'B' });
    await until(async () => alerts().length > 0);
    for (const number of others) await client.cancel(idOf(number));
    await Promise.all(others.map((number) => synced(number)));
    const told = () => lines.filter(({ message }) => message.startsWith('this policy is denied'));
    await until(async () => told().length > 0);
    assert.equal(told()[0]?.fields.out_insurance_no, denied);
    assert.deepEqual([alerts().length, goneOn().length], [1, 1]);
    const { sync, block } = await client.status(idOf(denied));
    assert.deepEqual([sync, block], ['PENDING', null]);
    await faults();
    await client.resume(idOf(denied));
    await synced(denied);
  });

  it('met by a policy that WeChat Pay has no more: its signed 404 lets the merchant go on', async () => {
    await write({ ...settings, ...later });
    await until(async () =>
      lines.some(({ message, fields }) => message === 'merchant is served' && fields.mchid === LATE),
    );
    const number = await approved(LATE);
    await control(LATE, 'PUT', 'faults', [{ do: { status: 401, code: 'SIGN_ERROR', unsigned: true } }]);
    await client.amend(idOf(number, LATE), { address: 'B' });
    await until(async () => (await holdOf(LATE)) !== undefined);
    await control(LATE, 'DELETE', `policies/${number}`);
    await control(LATE, 'PUT', 'faults', []);
    await until(async () => (await client.status(idOf(number, LATE))).sync === 'DIVERGED');
    assert.equal(goneOn().length, 1);
    await until(async () => (await holdOf(LATE)) === undefined);
  });

  it('of a merchant that is taken out of the file is forgotten', async () => {
    const number = await approved(LATE);
    await control(LATE, 'PUT', 'faults', [{ do: { status: 401, code: 'SIGN_ERROR', unsigned: true } }]);
    await client.amend(idOf(number, LATE), { address: 'B' });
    await until(async () => (await holdOf(LATE)) !== undefined);
    await write();
    await until(async () => (await holdOf(LATE)) === undefined);
    assert.ok(!(await metrics()).includes('policy_sync_merchant_held{'));
    await control(LATE, 'PUT', 'faults', []);
    await write({ ...settings, ...later });
    await synced(number, LATE);
    await write();
    await until(async () => lines.some(({ message }) => message.startsWith('a Worker of the merchant has ended')));
  });

  it('a probe that is under way when the worker ends is ended, too, and lets nobody go on', async () => {
    const { merchants } = await readMerchants(join(directory, 'merchants.json'));
    const merchant = merchants.get(MERCHANT) ?? assert.fail('no such merchant');
    let asked = new WechatPay(merchant, { timeout: 600_000 });
    const observed: string[] = [];
    const holds = new Holds({
      log,
      storage,
      client: () => asked,
      heldByFile: () => [],
      changed() {},
      observe: ({ outcome }) => observed.push(outcome),
      probeEvery: 600_000,
    });
    const number = uniqueNumber('H');
    const before = (await requests()).length;
    await faults({ do: { delay_ms: 600_000 } });
    holds.faulty(MERCHANT, new MerchantFaultError('', { reason: 'signature-refused' }), number);
    asked = new WechatPay(merchant, { timeout: 600_000 });
    holds.look();
    await until(async () => (await requests()).length > before);
    holds.end();
    await until(async () => observed.length > 0);
    assert.deepEqual([observed, holds.isHeld(MERCHANT)], [['unknown'], true]);
    // It stays in MongoDB as the hold of a worker that was killed does: the other worker sees to it.
    await until(async () => (await holdOf()) === undefined);
    assert.ok(lines.some(({ message }) => message.startsWith('the hold of a merchant is forgotten')));
  });
});

describe('settings of a merchant that cannot be used', () => {
  it('hold its calls with one alert, in log, metric and MongoDB, until they are right', async () => {
    await approved();
    const key = join(directory, LATE, 'merchant_private_key.pem');
    await rename(key, `${key}.away`);
    await write({ ...settings, ...later });
    await until(async () => (await holdOf(LATE)) !== undefined);
    const { code, message } = await saidAgain(LATE);
    assert.equal(code, 'unusable-settings');
    assert.match(message, /^WECHATPAY_MERCHANTS: 1900000003\.merchant_keys\.0\.private_key_file: .*found none$/);
    assert.match(await metrics(), /policy_sync_merchant_held\{mchid="1900000003",reason="unusable-settings"\} 1/);
    assert.equal((await countAttention(storage))['merchant-held'], 1);
    const record = recordOf({ out_insurance_no: uniqueNumber('H') }, { mchid: LATE });
    const number = record.policy.out_insurance_no;
    await control(LATE, 'PUT', `policies/${number}`, record.policy);
    await client.openPolicy(record);
    await write({ ...settings, ...later, [OTHER]: { ...settings[OTHER], requests_per_second: 51 } });
    await until(async () => lines.some(({ message }) => message === 'merchant changed'));
    assert.equal(alerts().length, 1, 'not again for an edit of something else');
    await rename(`${key}.away`, key);
    await synced(number, LATE);
    assert.equal(goneOn().length, 1);
    await until(async () => (await holdOf(LATE)) === undefined);
    assert.ok(!(await metrics()).includes('policy_sync_merchant_held{'));
    await write();
    await until(async () => (await metrics()).includes('policy_sync_merchants_served 2'));
  });

  it('at one worker: it holds the merchant, and another whose settings are good goes on', async () => {
    const number = await approved();
    const unusable = { ...settings[MERCHANT], wechatpay_keys: [] };
    await write({ [MERCHANT]: unusable, [OTHER]: settings[OTHER] ?? {} }, 'second.json');
    const WECHATPAY_MERCHANTS = join(directory, 'second.json');
    const second = await startWorker({
      settings: readSettings({ ...env, WECHATPAY_MERCHANTS, POLICY_SYNC_METRICS_PORT: undefined }),
      log,
      probeEvery: PROBE_EVERY_MS,
    });
    try {
      assert.equal((await saidAgain()).code, 'unusable-settings');
      await client.amend(idOf(number), { address: 'B' });
      await synced(number);
      assert.equal((await saidAgain()).code, 'unusable-settings', 'what one worker does well ends no hold of another');
      await write(settings, 'second.json');
      await until(async () => (await holdOf()) === undefined);
    } finally {
      await second.shutdown();
    }
  });
});

describe('a hold that a worker left in MongoDB when it was killed', () => {
  it('is forgotten once nobody has said for some rounds that it holds, whatever its clock was', async () => {
    const told = { code: 'SIGN_ERROR', status: 401, request_id: null, message: '', held_by: '1@killed' };
    const ahead = new Date(Date.now() + 3_600_000_000);
    await writeHold(storage, { _id: '1900000009', ...told, since: ahead, probed_at: ahead });
    await until(async () => (await holdOf('1900000009')) === undefined);
  });
});

describe('paused in the merchants file', () => {
  it('holds the calls of the merchant by hand, until it is taken out', async () => {
    const number = await approved();
    settings = { ...settings, [MERCHANT]: { ...settings[MERCHANT], paused: true } };
    await write();
    await until(async () => lines.some(({ message }) => message.startsWith('a Worker of the merchant has ended')));
    const before = (await requestsOf(number)).length;
    await client.amend(idOf(number), { address: 'B' });
    await client.cancel(idOf(number));
    assert.match(await metrics(), /policy_sync_merchant_held\{mchid="1900000001",reason="paused"\} 1/);
    const { code, message } = await saidAgain();
    assert.equal(code, 'paused');
    assert.match(message, /^paused in the WECHATPAY_MERCHANTS file: take "paused" out/);
    assert.equal((await countAttention(storage))['merchant-held'], 1);
    assert.equal((await requestsOf(number)).length, before);
    assert.equal((await client.status(idOf(number))).sync, 'PENDING');
    settings = { ...settings, [MERCHANT]: { ...settings[MERCHANT], paused: false } };
    await write();
    await synced(number);
    await until(async () => (await holdOf()) === undefined);
    assert.deepEqual(
      (await requestsOf(number)).slice(before).map(({ method }) => method),
      ['PATCH'],
    );
  });
});
