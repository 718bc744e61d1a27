import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { Standstill, standstill } from '../activities/standstill.ts';
import { freePort } from '../embedded/ports.ts';
import type { PolicyFields } from '../policy/record.ts';
import { documentId, findPolicy } from '../storage/policies.ts';
import { WechatPay } from '../wechatpay/client.ts';
import type { MerchantFaultError } from '../wechatpay/errors.ts';
import { callsOf, delayOf, heldOf, lastCall, MINUTE, type Stage, sent, setStage } from './activities_fixture.ts';
import { UPLOAD } from './sandbox_calls.ts';

const APPROVAL: PolicyFields = { policy_state: 'POLICY_STATE_APPROVED', policy_code: 'C1' };

let stage: Stage;
before(async () => {
  stage = await setStage();
});
after(() => stage.stop());
beforeEach(async () => {
  stage.logged.length = 0;
  await stage.faults();
});

describe('a worker that stood still between taking a call and making it', () => {
  it('does not make it: it was given up meanwhile, and what was sent since must not be undone', async (t) => {
    const snapshot = await stage.policy();
    let frozen = 0;
    const now = Date.now;
    t.mock.method(Date, 'now', () => now() + frozen);
    const freeze = (): WechatPay => {
      frozen = 60_000;
      return new WechatPay(stage.merchant);
    };
    const { failure } = await callsOf(stage, { wechatPay: freeze }).push(snapshot, APPROVAL);
    assert.match(failure?.message ?? '', /^LATE: the worker stood still/);
    assert.deepEqual(await sent(stage.bench, snapshot), []);
    assert.equal((await lastCall(stage))?.outcome, 'no-effect');
  });
});

describe('a worker that stood still while it waited for a call', () => {
  it('does not make the call that was handed to it meanwhile, and goes on a moment later', async (t) => {
    const snapshot = await stage.policy();
    let later = 0;
    const now = Date.now;
    t.mock.method(Date, 'now', () => now() + later);
    standstill.tick();
    later = 60_000;
    const { failure } = await callsOf(stage).push(snapshot, APPROVAL);
    assert.match(failure?.message ?? '', /^LATE: the worker stood still/);
    assert.deepEqual(await sent(stage.bench, snapshot), []);
    later += 1_900;
    standstill.tick();
    later += 1_900;
    standstill.tick();
    later += 1_900;
    assert.equal((await callsOf(stage).push(snapshot, APPROVAL)).result?.outcome, 'confirmed');
  });

  it('counts the time from the first of two standstills, and none where its clock was set back', () => {
    let now = 100_000;
    const watched = new Standstill(() => now);
    now += 1_500;
    assert.equal(watched.handedOut(), now, 'it was busy');
    const before = now;
    now += 30_000;
    assert.equal(watched.handedOut(), before);
    now += 4_000;
    assert.equal(watched.handedOut(), before);
    now -= 20_000;
    assert.equal(watched.handedOut(), now);
  });
});

describe('a confirmed call', () => {
  it('returns the policy that WeChat Pay holds, and what names the answer', async () => {
    const snapshot = await stage.policy();
    const { result } = await callsOf(stage).push(snapshot, APPROVAL);
    assert.equal(result?.outcome, 'confirmed');
    assert.deepEqual(result?.outcome === 'confirmed' && result.policy, await heldOf(stage, snapshot.out_insurance_no));
    assert.match(String(result?.request_id), /^08/);
    assert.equal(result?.recorded, true);
    assert.equal(result?.payload_key, 'k1');
  });

  it('brings snapshot, answer and attempt to MongoDB', async () => {
    const snapshot = await stage.policy();
    const { mchid, out_insurance_no } = snapshot;
    const { result } = await callsOf(stage).push(snapshot, APPROVAL, {}, { attempt: 4 });
    const found = await findPolicy(stage.storage, mchid, out_insurance_no);
    assert.equal(found?.sync, 'PENDING');
    assert.deepEqual([found?.revision, found?.step], [3, 11]);
    assert.equal(found?.remote?.policy_state, 'POLICY_STATE_APPROVED');
    assert.deepEqual(found?.record.policy, snapshot.record.policy);
    const { _id, at: _at, host: _host, duration_ms: _ms, ...call } = (await lastCall(stage)) ?? {};
    assert.equal(_id, 'run-1/7/4');
    assert.deepEqual(call, {
      workflow_run: 'run-1',
      activity_id: '7',
      attempt: 4,
      policy: documentId(mchid, out_insurance_no),
      mchid,
      method: 'PATCH',
      revision: 3,
      step: 10,
      outcome: 'confirmed',
      status: 200,
      code: null,
      request_id: result?.request_id,
    });
  });

  it('uploads with the number of the policy', async () => {
    const snapshot = await stage.policy();
    const { out_insurance_no, ...fields } = snapshot.record.policy;
    await stage.bench.control('DELETE', `/policies/${out_insurance_no}`);
    const { result } = await callsOf(stage).upload(snapshot, { ...fields, ...UPLOAD } as PolicyFields);
    assert.equal(result?.outcome, 'confirmed');
    assert.equal((await heldOf(stage, out_insurance_no)).insurance_company_code, UPLOAD.insurance_company_code);
  });

  it('tells metrics of each request', async () => {
    const seen: object[] = [];
    const calls = callsOf(stage, { observe: ({ duration_ms: _, ...call }) => seen.push(call) });
    await calls.query(await stage.policy());
    await stage.faults({ status: 429, code: 'FREQUENCY_LIMITED' });
    await calls.query(await stage.policy());
    const of = { mchid: stage.merchant.mchid, method: 'GET' };
    assert.deepEqual(seen, [
      { ...of, outcome: 'confirmed', code: undefined, reason: undefined },
      { ...of, outcome: 'no-effect', code: 'FREQUENCY_LIMITED', reason: 'throttled' },
    ]);
  });
});

describe('a call without effect', () => {
  const throttled = { status: 429, code: 'FREQUENCY_LIMITED' };

  it('is retried after what Retry-After asks for where that is later than our own backoff, up to a fifth later', async () => {
    await stage.faults({ ...throttled, retry_after: 7 });
    const snapshot = await stage.policy();
    for (const { failure } of [
      await callsOf(stage).query(snapshot, { alert_after: 60_000 }),
      await callsOf(stage).push(snapshot, APPROVAL, { alert_after: 60_000 }),
    ]) {
      const delay = delayOf(failure);
      assert.ok(delay >= 7000 && delay <= 8400, `${delay}`);
      assert.equal(failure?.type, 'FREQUENCY_LIMITED');
    }
  });

  for (const retry_after of [0, 1, new Date(0).toUTCString()])
    it(`backs off by itself where Retry-After says ${retry_after} again and again`, async () => {
      await stage.faults({ ...throttled, retry_after });
      const snapshot = await stage.policy();
      const delays: number[] = [];
      for (let attempt = 30; attempt < 34; attempt++)
        delays.push(delayOf((await callsOf(stage).push(snapshot, APPROVAL, {}, { attempt })).failure));
      for (const delay of delays) assert.ok(delay >= 5 * MINUTE && delay <= 10 * MINUTE, `${delays}`);
      assert.ok(new Set(delays).size > 1, 'not in step');
    });

  it('is told of in its own time where Retry-After asks for longer, and not made before', async () => {
    await stage.faults({ ...throttled, retry_after: 3600 });
    const snapshot = await stage.policy();
    const { result: asked } = await callsOf(stage).push(snapshot, APPROVAL, { alert_after: 15 * MINUTE });
    assert.ok(asked?.outcome === 'waiting' && asked.early, 'the wait is not told of yet');
    const { wait = 0 } = asked;
    assert.ok(wait >= 60 * MINUTE, 'and the workflow keeps it');
    const next = { delay: wait, alert_after: 15 * MINUTE };
    const { failure } = await callsOf(stage).push(snapshot, APPROVAL, next);
    assert.equal(delayOf(failure), 15 * MINUTE);
    const { result: told } = await callsOf(stage).push(snapshot, APPROVAL, next, { attempt: 2, waited: 15 * MINUTE });
    assert.ok(told?.outcome === 'waiting' && !told.early && told.recorded);
    assert.equal(told.wait, wait - 15 * MINUTE);
    assert.deepEqual(await sent(stage.bench, snapshot), ['PATCH'], 'nothing is sent meanwhile');
    await stage.faults();
    const last = { attempt: 2, waited: wait };
    const { result } = await callsOf(stage).push(snapshot, APPROVAL, { delay: wait }, last);
    assert.equal(result?.outcome, 'confirmed');
  });

  it('backs off with jitter, from a second to ten minutes', async () => {
    await stage.faults(throttled);
    const snapshot = await stage.policy();
    for (const [attempt, longest] of [
      [1, 1000],
      [4, 8000],
      [60, 10 * MINUTE],
    ] as const) {
      const delay = delayOf((await callsOf(stage).push(snapshot, APPROVAL, {}, { attempt })).failure);
      assert.ok(delay >= longest / 2 && delay <= longest, `${delay} at attempt ${attempt}`);
    }
  });

  it('backs off no further than to when the workflow wants to be told, and tells it then', async () => {
    await stage.faults(throttled);
    const snapshot = await stage.policy();
    const alert = { alert_after: 60_000 };
    const { failure } = await callsOf(stage).push(snapshot, APPROVAL, alert, { attempt: 60, waited: 55_000 });
    assert.equal(delayOf(failure), 5000);
    const { result } = await callsOf(stage).push(snapshot, APPROVAL, alert, { attempt: 61, waited: 60_000 });
    assert.equal(result?.outcome, 'waiting');
    assert.ok(result?.outcome === 'waiting' && result.code === 'FREQUENCY_LIMITED' && !result.early);
    assert.ok((result.wait ?? 0) >= 5 * MINUTE, 'backs off on');
  });

  it('is retried when nothing listens, at the hosts in turn', async () => {
    const away = { ...stage.merchant, base_urls: [`http://127.0.0.1:${await freePort()}`, stage.backup.sandbox.url] };
    const calls = callsOf(stage, { wechatPay: () => new WechatPay(away) });
    const snapshot = await stage.policy();
    assert.equal((await calls.push(snapshot, APPROVAL)).failure?.type, 'not-connected');
    assert.equal((await calls.push(snapshot, APPROVAL, {}, { attempt: 2 })).result?.outcome, 'confirmed');
    assert.equal((await calls.query(snapshot, { host: 1 })).result?.outcome, 'confirmed');
    assert.deepEqual(await sent(stage.backup, snapshot), ['PATCH', 'GET']);
  });

  for (const [client, type] of [
    ['paused', 'MERCHANT_PAUSED'],
    ['held', 'MERCHANT_HELD'],
    [undefined, 'MERCHANT_UNAVAILABLE'],
  ] as const)
    it(`is made for no merchant that is ${client ?? 'without settings that work'}, and its policy is recorded`, async () => {
      const snapshot = await stage.policy();
      const calls = callsOf(stage, { wechatPay: () => client });
      const { failure } = await calls.push(snapshot, APPROVAL);
      assert.equal(failure?.type, type);
      assert.ok(delayOf(failure) <= 3000, 'back in its queue at once');
      assert.deepEqual(await sent(stage.bench, snapshot), []);
      assert.equal((await findPolicy(stage.storage, snapshot.mchid, snapshot.out_insurance_no))?.revision, 3);
      const { result } = await calls.push(snapshot, APPROVAL, { alert_after: 1000 }, { attempt: 9, waited: 1000 });
      assert.equal(result?.outcome === 'waiting' && result.code, type);
    });
});

describe("a merchant's fault", () => {
  for (const fault of [
    { status: 401, code: 'SIGN_ERROR', unsigned: true },
    { status: 403, code: 'NO_AUTH' },
  ])
    it(`${fault.status} ${fault.code} is told to whoever holds the merchant, and the call goes back to its queue`, async () => {
      await stage.faults(fault);
      const snapshot = await stage.policy();
      const told: unknown[] = [];
      const merchant = {
        faulty: ({ code, request_id }: MerchantFaultError, number: string) => told.push([code, request_id, number]),
        well: () => told.push('well'),
      };
      const calls = callsOf(stage, { merchant });
      for (const { failure } of [await calls.query(snapshot), await calls.push(snapshot, APPROVAL)]) {
        assert.equal(failure?.type, fault.code);
        assert.ok(delayOf(failure) <= 3000);
      }
      await stage.faults();
      await calls.query(snapshot);
      assert.deepEqual(
        told.map((one) => (Array.isArray(one) ? [one[0], one[2]] : one)),
        [[fault.code, snapshot.out_insurance_no], [fault.code, snapshot.out_insurance_no], 'well'],
      );
      assert.match(String((told[0] as string[])[1]), /^08/);
    });

  it('is retried with backoff where nobody holds the merchant', async () => {
    await stage.faults({ status: 401, code: 'SIGN_ERROR', unsigned: true });
    const { failure } = await callsOf(stage).push(await stage.policy(), APPROVAL, {}, { attempt: 12 });
    assert.ok(delayOf(failure) >= 60_000);
  });
});
