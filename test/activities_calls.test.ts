import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { ApplicationFailure } from '@temporalio/common';
import fc from 'fast-check';
import type { CallResult } from '../activities/types/results.ts';
import type { Snapshot } from '../activities/types/snapshot.ts';
import { freePort } from '../embedded/ports.ts';
import type { PolicyFields } from '../policy/record.ts';
import { documentId, findPolicy } from '../storage/policies.ts';
import { WechatPay } from '../wechatpay/client.ts';
import type { MerchantFaultError } from '../wechatpay/errors.ts';
import { callsOf, MINUTE, type Stage, sent, setStage, snapshotOf } from './activities_fixture.ts';
import { eventually } from './faults_fixture.ts';
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

const held = (number: string): Promise<PolicyFields> => stage.bench.held(number) as Promise<PolicyFields>;

/** How long the server is asked to wait, in ms. */
function delayOf(failure: ApplicationFailure | undefined): number {
  assert.ok(failure, 'the attempt was to fail');
  assert.equal(failure.nonRetryable, false);
  assert.equal(failure.category, 'BENIGN');
  return Number(failure.nextRetryDelay);
}

async function callDocument(): Promise<Record<string, unknown> | null> {
  return stage.database.client
    .db()
    .collection('calls')
    .findOne({}, { sort: { at: -1 } });
}

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
    assert.equal((await callDocument())?.outcome, 'no-effect');
  });
});

describe('a confirmed call', () => {
  it('returns the policy that WeChat Pay holds, and what names the answer', async () => {
    const snapshot = await stage.policy();
    const { result } = await callsOf(stage).push(snapshot, APPROVAL);
    assert.equal(result?.outcome, 'confirmed');
    assert.deepEqual(result?.outcome === 'confirmed' && result.policy, await held(snapshot.out_insurance_no));
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
    const { _id, at: _at, host: _host, duration_ms: _ms, ...call } = (await callDocument()) ?? {};
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
    assert.equal((await held(out_insurance_no)).insurance_company_code, UPLOAD.insurance_company_code);
  });

  it('tells metrics of each request', async () => {
    const seen: object[] = [];
    const calls = callsOf(stage, { observe: ({ duration_ms: _, ...call }) => seen.push(call) });
    await calls.query(await stage.policy());
    await stage.faults({ status: 429, code: 'FREQUENCY_LIMITED' });
    await calls.query(await stage.policy());
    const of = { mchid: stage.merchant.mchid, method: 'GET' };
    assert.deepEqual(seen, [
      { ...of, outcome: 'confirmed' },
      { ...of, outcome: 'no-effect' },
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

describe('an unknown outcome', () => {
  const ROWS: [string, object, code: string, status?: number][] = [
    ['a 500', { status: 500, code: 'SYSTEM_ERROR' }, 'SYSTEM_ERROR', 500],
    ['an unsigned 502', { status: 502, body: '<html>' }, 'server-error', 502],
    ['a connection cut before the effect', { drop: 'before' }, 'no-answer'],
    ['a connection cut after the effect', { drop: 'after' }, 'no-answer'],
    ['an answer that does not come in time', { delay_ms: 60_000 }, 'time-out'],
    ['half an answer', { truncate: true }, 'no-answer'],
    ['an unsigned 200', { forge: 'unsigned' }, 'unsigned', 200],
    ['a wrong signature', { forge: 'signature' }, 'wrong-signature', 200],
    ['a SIGNTEST signature', { forge: 'signtest' }, 'wrong-signature', 200],
    ['an old signature', { forge: 'timestamp' }, 'stale', 200],
    ['a signature by an unknown key', { forge: 'serial' }, 'unknown-serial', 200],
    ['the answer of another policy', { answer_of: 'other' }, 'other-policy', 200],
    ['an unsigned 400', { status: 400, code: 'PARAM_ERROR', unsigned: true }, 'PARAM_ERROR', 400],
    ['an unsigned 403', { status: 403, code: 'RULE_LIMIT', unsigned: true }, 'RULE_LIMIT', 403],
    ['an unsigned 404', { status: 404, code: 'NOT_FOUND', unsigned: true }, 'NOT_FOUND', 404],
    ['a redirect', { redirect: 'http://127.0.0.1:1/' }, 'redirect', 307],
  ];
  const isOutcome = (found: CallResult | undefined) => found?.outcome === 'unknown' && [found.code, found.status];

  for (const [what, fault, code, status] of ROWS)
    it(`${what}: a PATCH goes back to the workflow, a GET is retried`, async () => {
      const snapshot = await stage.policy();
      const other = await stage.policy();
      const { out_insurance_no } = other;
      await stage.faults('answer_of' in fault ? { answer_of: out_insurance_no } : fault);
      const timeout = code === 'time-out' ? 100 : 10_000;
      const calls = callsOf(stage, { wechatPay: () => new WechatPay(stage.merchant, { timeout }) });
      const { result } = await calls.push(snapshot, APPROVAL);
      assert.deepEqual(isOutcome(result), [code, status]);
      const { failure } = await calls.query(snapshot);
      assert.equal(failure?.type, code);
      assert.ok(delayOf(failure) <= 1000);
    });

  it('of an answer that proves nothing tells what it said, without what was sent', async () => {
    const address = '绝密路1号';
    await stage.faults({ status: 400, code: 'PARAM_ERROR', message: `bad address ${address}`, unsigned: true });
    const { result } = await callsOf(stage).push(await stage.policy(), { address });
    assert.ok(result?.outcome === 'unknown');
    assert.equal(result.message, 'an unsigned 400 proves nothing: bad address …');
  });

  it('of a POST goes back to the workflow', async () => {
    await stage.faults({ drop: 'after' });
    const snapshot = await stage.policy();
    assert.equal((await callsOf(stage).upload(snapshot, APPROVAL)).result?.outcome, 'unknown');
  });

  it('of a GET is told of when it has lasted long enough', async () => {
    await stage.faults({ status: 503, code: 'SYSTEM_ERROR' });
    const alert = { alert_after: 900_000 };
    const { result } = await callsOf(stage).query(await stage.policy(), alert, { attempt: 9, waited: 900_001 });
    assert.equal(result?.outcome, 'waiting');
  });

  it('is what a fault of this program leaves, whose message is not logged', async () => {
    const broken = async (): Promise<never> => {
      throw new TypeError('张三');
    };
    const calls = callsOf(stage, {
      wechatPay: () => ({ updatePolicy: broken, queryPolicy: broken }) as unknown as WechatPay,
    });
    assert.equal((await calls.push(await stage.policy(), APPROVAL)).result?.outcome, 'unknown');
    delayOf((await calls.query(await stage.policy())).failure);
    assert.equal(stage.logged.find(({ level }) => level === 'error')?.fields.error, 'TypeError');
  });
});

describe('a refused call', () => {
  for (const fault of [
    { status: 400, code: 'PARAM_ERROR' },
    { status: 400, code: 'INVALID_REQUEST' },
    { status: 403, code: 'RULE_LIMIT' },
    { status: 404, code: 'NOT_FOUND' },
  ])
    it(`${fault.status} ${fault.code} goes back to the workflow with code, message and Request-ID`, async () => {
      await stage.faults({ ...fault, message: 'address 上海市浦东新区晨晖路1001号 is wrong' });
      const snapshot = await stage.policy();
      const { address } = snapshot.record.policy;
      for (const { result } of [
        await callsOf(stage).push(snapshot, { address }),
        await callsOf(stage).upload(snapshot, { address }),
      ]) {
        assert.ok(result?.outcome === 'refused');
        assert.deepEqual([result.status, result.code], [fault.status, fault.code]);
        assert.match(result.message, /address .* is wrong/);
        assert.ok(!result.message.includes(String(address)));
        assert.match(String(result.request_id), /^08/);
      }
    });

  it('is what a GET of a policy comes to that WeChat Pay does not know', async () => {
    const { record } = await stage.policy();
    const unknown = snapshotOf({ ...record, policy: { ...record.policy, out_insurance_no: 'Unknown1' } });
    const { result } = await callsOf(stage).query(unknown);
    assert.equal(result?.outcome === 'refused' && result.status, 404);
  });

  it('is what a name comes to that is too long to be sealed, and no request is made', async () => {
    const snapshot = await stage.policy();
    const { result } = await callsOf(stage).push(snapshot, { insured_name_list: ['张'.repeat(100)] });
    assert.equal(result?.outcome === 'refused' && result.code, 'name-too-long');
    assert.deepEqual(await sent(stage.bench, snapshot), []);
  });
});

describe('an attempt', () => {
  it('that waits for its round sends nothing the first time', async () => {
    const snapshot = await stage.policy();
    const { failure } = await callsOf(stage).query(snapshot, { delay: 4000 });
    assert.equal(delayOf(failure), 4000);
    assert.deepEqual(await sent(stage.bench, snapshot), []);
    assert.equal(
      (await callsOf(stage).query(snapshot, { delay: 4000 }, { attempt: 2, waited: 4000 })).result?.outcome,
      'confirmed',
    );
  });

  it('with an input of a newer format waits for a newer worker', async () => {
    const snapshot = await stage.policy();
    for (const { failure } of [
      await callsOf(stage).push(snapshot, APPROVAL, { format: 2 as 1 }),
      await callsOf(stage).verify(snapshot, { format: 2 as 1 }),
    ]) {
      assert.equal(failure?.type, 'format');
      assert.ok(delayOf(failure) > 0);
    }
    assert.deepEqual(await sent(stage.bench, snapshot), []);
  });

  it('makes one request at most, and fails only where WeChat Pay was left as it was', async () => {
    const code = fc.constantFrom(
      'SYSTEM_ERROR',
      'PARAM_ERROR',
      'NO_AUTH',
      'RULE_LIMIT',
      'FREQUENCY_LIMITED',
      'SIGN_ERROR',
    );
    const fault = fc.oneof(
      fc.record({ status: fc.constantFrom(400, 401, 403, 404, 409, 429, 500, 503), code, unsigned: fc.boolean() }),
      fc.record({ drop: fc.constantFrom('before', 'after') }),
      fc.record({ forge: fc.constantFrom('signature', 'timestamp', 'signtest', 'unsigned', 'serial') }),
      fc.constant({ truncate: true }),
      fc.constant({ delay_ms: 0 }),
    );
    await fc.assert(
      fc.asyncProperty(fault, async (action) => {
        const snapshot = await stage.policy();
        await stage.faults(action);
        const { result } = await callsOf(stage).push(snapshot, APPROVAL);
        assert.equal((await sent(stage.bench, snapshot)).length, 1);
        const { policy_state } = await held(snapshot.out_insurance_no);
        const isTaken = policy_state === APPROVAL.policy_state;
        if (result === undefined || result.outcome === 'refused') assert.equal(isTaken, false);
        if (result?.outcome === 'confirmed') assert.equal(isTaken, true);
      }),
      { numRuns: 40 },
    );
  });
});

describe('while MongoDB is down', () => {
  before(() => stage.line.cut());
  after(() => stage.line.mend());

  it('a call goes on, and says that it was not recorded', async () => {
    const snapshot = await stage.policy();
    const { result } = await callsOf(stage).push(snapshot, APPROVAL);
    assert.deepEqual([result?.outcome, result?.recorded], ['confirmed', false]);
    assert.equal((await held(snapshot.out_insurance_no)).policy_state, APPROVAL.policy_state);
    const lines = stage.logged.filter(({ level }) => level === 'warn');
    assert.deepEqual(lines.map(({ fields }) => fields.what).sort(), ['answer', 'intent', 'outcome']);
  });

  it('the attempts that MongoDB did not take are counted, from attempt to attempt and into the result', async () => {
    const snapshot = await stage.policy();
    await stage.faults({ status: 429, code: 'FREQUENCY_LIMITED' });
    const { heartbeats } = await callsOf(stage).push(snapshot, APPROVAL);
    const beats = heartbeats as { count: number; told: number; last_code?: string }[];
    assert.deepEqual(
      beats.map(({ count, told, last_code }) => [count, told, last_code]),
      // Before the request, whose worker may die of it, and after.
      [
        [1, 0, undefined],
        [1, 0, 'FREQUENCY_LIMITED'],
      ],
    );
    await stage.faults();
    const { result } = await callsOf(stage).push(snapshot, APPROVAL, {}, { attempt: 2, heartbeat: heartbeats.at(-1) });
    assert.deepEqual([result?.outcome, result?.owed?.count], ['confirmed', 2]);
  });

  it('an attempt is owed from before its request on, and no longer once MongoDB has its outcome', async () => {
    const snapshot = await stage.policy();
    await stage.faults({ status: 429, code: 'FREQUENCY_LIMITED' });
    const back: typeof fetch = async (...request) => {
      const answer = await fetch(...request);
      await stage.line.mend();
      await eventually(() => storageAnswers(snapshot), Boolean);
      return answer;
    };
    const wechatPay = () => new WechatPay(stage.merchant, { fetch: back });
    const { heartbeats } = await callsOf(stage, { wechatPay }).push(snapshot, APPROVAL);
    assert.deepEqual(heartbeats, [
      { count: 1, told: 0 },
      { count: 0, told: 0 },
    ]);
  });

  function storageAnswers({ mchid, out_insurance_no }: Snapshot): Promise<boolean> {
    return findPolicy(stage.storage, mchid, out_insurance_no).then(
      () => true,
      () => false,
    );
  }
});
