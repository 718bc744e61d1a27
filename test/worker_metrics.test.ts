import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Log } from '../activities/log.ts';
import { freePort } from '../embedded/ports.ts';
import { connect, type Storage } from '../storage/connection.ts';
import { StorageUnavailable } from '../storage/errors.ts';
import { WechatPay } from '../wechatpay/client.ts';
import { MerchantFaultError } from '../wechatpay/errors.ts';
import { counted } from '../worker/counted.ts';
import { Holds } from '../worker/holds.ts';
import { Metrics, serveMetrics } from '../worker/metrics.ts';
import { merchantAt } from './wechatpay_counterpart.ts';

const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

describe('/metrics', () => {
  it('answers 500, and the process goes on, where something that it collects fails; then it answers again', async () => {
    const metrics = new Metrics(() => []);
    let fails = true;
    metrics.attention = async () => {
      if (fails) throw new TypeError('nobody foresaw this');
      return { blocked: 1 };
    };
    const logged: unknown[] = [];
    const port = await freePort();
    const log = { ...silent, error: (...line: unknown[]) => logged.push(line) } as Log;
    const end = await serveMetrics(metrics, { host: '127.0.0.1', port }, log);
    try {
      const url = `http://127.0.0.1:${port}/metrics`;
      assert.equal((await fetch(url)).status, 500);
      assert.equal((await fetch(url.replace('metrics', 'healthz'))).status, 200, 'the process runs all the same');
      assert.equal(logged.length, 1);
      fails = false;
      assert.match(await (await fetch(url)).text(), /policy_sync_attention\{kind="blocked"\} 1/);
    } finally {
      await end();
    }
  });
});

describe('what is counted for the metrics', () => {
  it('is counted once a minute at most, whoever asks, and not again at once where the server did not answer', async () => {
    let asked = 0;
    const told = counted(async () => ++asked, silent);
    assert.deepEqual(await Promise.all([told(), told()]), [1, 1]);
    assert.equal(await told(), 1);
    const failing = counted(async () => {
      asked++;
      throw new StorageUnavailable('127.0.0.1:1', 'no answer');
    }, silent);
    assert.deepEqual([await failing(), await failing(), asked], [undefined, undefined, 2]);
  });
});

describe('what MongoDB is asked and told', () => {
  it('is what a majority has, by the primary, whatever the URI says', async () => {
    const uri = 'mongodb://127.0.0.1:1/x?readPreference=secondary&readConcernLevel=local&w=1';
    const storage = await connect(uri, { keyring: undefined });
    try {
      const { policies } = storage;
      assert.equal(policies.readPreference?.mode, 'primary');
      assert.equal(policies.readConcern?.level, 'majority');
      assert.equal(policies.writeConcern?.w, 'majority');
    } finally {
      await storage.close();
    }
  });
});

describe('a policy that is denied what others of its merchant are granted', () => {
  it('is remembered for a day after it was last denied, so that no number of an ended policy stays', (context) => {
    context.mock.timers.enable({ apis: ['Date', 'setTimeout'] });
    const client = new WechatPay(merchantAt('http://127.0.0.1:1'));
    const holds = new Holds({
      log: silent,
      storage: { write: async () => {} } as unknown as Storage,
      client: () => client,
      heldByFile: () => [],
      changed() {},
      probeEvery: 60_000,
    });
    const mchid = '1900000001';
    const denied = () =>
      holds.faulty(mchid, new MerchantFaultError('denied', { reason: 'no-permission', status: 403 }), 'ALONE');
    denied();
    assert.ok(holds.isHeld(mchid));
    holds.well(mchid, 'OTHER', performance.now());
    for (let hour = 0; hour < 30; hour++) {
      denied();
      assert.ok(!holds.isHeld(mchid), 'it holds nobody else');
      context.mock.timers.setTime(Date.now() + 3_600_000);
    }
    context.mock.timers.setTime(Date.now() + 25 * 3_600_000);
    denied();
    assert.ok(holds.isHeld(mchid), 'it was forgotten');
    holds.end();
  });
});
