import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import type { PolicyClient } from '../client/policy_client.ts';
import { INACTIVE } from '../policy/state.ts';
import { makeKeys, merchantsFile } from '../sandbox/keys.ts';
import type { Storage } from '../storage/connection.ts';
import { listHolds } from '../storage/holds.ts';
import { WechatPay } from '../wechatpay/client.ts';
import { MerchantFaultError } from '../wechatpay/errors.ts';
import { readMerchants } from '../wechatpay/merchants_file.ts';
import { Holds } from '../worker/holds.ts';
import { until } from './client_namespace.ts';
import { uniqueNumber } from './fixtures.ts';
import { heldByFile } from './worker_holds_by_file.ts';
import { CODE, FAULTS, heldMerchants, idOf, LATE, MERCHANT, OTHER, type Settings } from './worker_holds_fixture.ts';

const on = heldMerchants();
const {
  lines,
  log,
  write,
  control,
  faults,
  metrics,
  holdOf,
  saidAgain,
  requests,
  alerts,
  goneOn,
  approved,
  synced,
  events,
  atRest,
} = on;
let directory: string;
let storage: Storage;
let client: PolicyClient;
let settings: Settings;
let later: Settings;
before(async () => {
  ({ directory, storage, client, settings, later } = await on.ready());
});

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
    Object.assign(settings, { [MERCHANT]: { ...settings[MERCHANT], merchant_keys: key?.merchant_keys } });
    await write();
    await until(async () => lines.some(({ message }) => message === 'merchant changed'));
    await client.amend(idOf(number), { address: 'B' });
    await until(async () => alerts().length > 0);
    assert.equal((await client.status(idOf(number))).block, null);
    Object.assign(settings, { [MERCHANT]: { ...settings[MERCHANT], merchant_keys: good } });
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

heldByFile(on);
