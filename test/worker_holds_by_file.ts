import assert from 'node:assert/strict';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import type { PolicyClient } from '../client/policy_client.ts';
import type { Storage } from '../storage/connection.ts';
import { writeHold } from '../storage/holds.ts';
import { countAttention } from '../storage/lives.ts';
import { readSettings } from '../worker/settings.ts';
import { startWorker } from '../worker/worker.ts';
import { until } from './client_namespace.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import {
  type HeldMerchants,
  idOf,
  LATE,
  MERCHANT,
  OTHER,
  PROBE_EVERY_MS,
  type Settings,
} from './worker_holds_fixture.ts';

/** Merchants that are held back by what their file says, or by what a killed worker left. */
export function heldByFile(on: HeldMerchants): void {
  const { lines, log, write, control, metrics, holdOf, saidAgain, requestsOf, alerts, goneOn, approved, synced } = on;
  let directory: string;
  let storage: Storage;
  let client: PolicyClient;
  let env: NodeJS.ProcessEnv;
  let settings: Settings;
  let later: Settings;
  before(async () => {
    ({ directory, storage, client, env, settings, later } = await on.ready());
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
        assert.equal(
          (await saidAgain()).code,
          'unusable-settings',
          'what one worker does well ends no hold of another',
        );
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
      Object.assign(settings, { [MERCHANT]: { ...settings[MERCHANT], paused: true } });
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
      Object.assign(settings, { [MERCHANT]: { ...settings[MERCHANT], paused: false } });
      await write();
      await synced(number);
      await until(async () => (await holdOf()) === undefined);
      assert.deepEqual(
        (await requestsOf(number)).slice(before).map(({ method }) => method),
        ['PATCH'],
      );
    });
  });
}
