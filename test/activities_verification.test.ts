import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { nextVerification } from '../activities/backoff.ts';
import type { VerifyInput } from '../activities/types/inputs.ts';
import type { Snapshot } from '../activities/types/snapshot.ts';
import { freePort } from '../embedded/ports.ts';
import type { PolicyFields } from '../policy/record.ts';
import { findPolicy } from '../storage/policies.ts';
import { WechatPay } from '../wechatpay/client.ts';
import { callsOf, MINUTE, type Stage, sent, setStage, type Turn, WEEK } from './activities_fixture.ts';

/** A second attempt, when the first verification is due. */
const DUE: Turn = { attempt: 2, waited: 2 * MINUTE };

let stage: Stage;
before(async () => {
  stage = await setStage();
});
after(() => stage.stop());
beforeEach(async () => {
  stage.logged.length = 0;
  await stage.faults();
});

const verify = (snapshot: Snapshot, more: Partial<VerifyInput> = {}, at: Turn = DUE) =>
  callsOf(stage).verify(snapshot, more, at);
const patched = (snapshot: Snapshot, fields: PolicyFields) =>
  stage.bench.control('PATCH', `/policies/${snapshot.out_insurance_no}`, fields);
const stored = (snapshot: Snapshot) => findPolicy(stage.storage, snapshot.mchid, snapshot.out_insurance_no);

/** An attempt that found nothing: a BENIGN failure, to be retried after so many ms. */
function quiet({ failure, result }: Awaited<ReturnType<typeof verify>>, type: string): number {
  assert.equal(failure?.type, type, JSON.stringify(result));
  assert.deepEqual([failure?.category, failure?.nonRetryable], ['BENIGN', false]);
  return Number(failure?.nextRetryDelay);
}

function isWithin(delay: number, span: number): void {
  assert.ok(delay >= span * 0.8 - 1 && delay <= span * 1.2 + 1, `${delay} is not about ${span}`);
}

describe('the times of verifications', () => {
  const number = fc.stringMatching(/^[0-9A-Za-z]{1,32}$/);
  const span = fc.integer({ min: 1000, max: WEEK });

  it('are a minute after the confirmation, then when its age has quadrupled, up to `every`, give or take a fifth', () => {
    const attempt = fc.integer({ min: 1, max: 1000 });
    fc.assert(
      fc.property(number, attempt, span, span, fc.constantFrom('confirmed', 'absent'), (text, nth, age, every, of) => {
        const later = of === 'confirmed' ? 3 * age : age;
        isWithin(nextVerification(text, nth, age, every, of), Math.min(every, Math.max(MINUTE, later)));
      }),
    );
  });

  it('are the same for the same policy and attempt, and spread over a fleet', () => {
    const next = (text: string) => nextVerification(text, 3, WEEK, WEEK, 'confirmed');
    assert.equal(next('P1'), next('P1'));
    const fleet = Array.from({ length: 1000 }, (_, index) => next(`P${index}`));
    const days = new Set(fleet.map((delay) => Math.floor(delay / (6 * 60 * MINUTE))));
    assert.ok(days.size >= 10, `${days.size} of eleven quarter days`);
  });
});

describe('the first attempt', () => {
  it('makes no request, and brings the settled policy to MongoDB', async () => {
    const snapshot = { ...(await stage.policy()), sync: 'SYNCED' };
    const delay = quiet(await verify(snapshot, {}, {}), 'confirmed');
    isWithin(delay, MINUTE);
    assert.deepEqual(await sent(stage.bench, snapshot), []);
    const found = await stored(snapshot);
    assert.equal(found?.sync, 'SYNCED');
    assert.ok(Math.abs(Number(found?.next_verification_at) - Date.now() - delay) < 10_000);
    const calls = stage.database.client.db().collection('calls');
    assert.equal(await calls.countDocuments({ policy: found?._id }), 0);
  });

  it('comes sooner where `every` is shorter than a minute', async () => {
    isWithin(quiet(await verify(await stage.policy(), { every: 2000 }, {}), 'confirmed'), 2000);
  });

  it('asks at once about a confirmation that is older than the first verification', async () => {
    const snapshot = await stage.policy();
    quiet(await verify(snapshot, { age: 2 * WEEK }, {}), 'verified');
    assert.deepEqual(await sent(stage.bench, snapshot), ['GET']);
  });
});

describe('a verification while an attempt of ours may still land', () => {
  it('comes as soon as no attempt of ours can land any more, and its answer is told whatever it shows', async () => {
    const snapshot = await stage.policy();
    const lands = { settles_in: 15 * MINUTE };
    assert.equal(quiet(await verify(snapshot, lands, { attempt: 5, waited: 10 * MINUTE }), 'verified'), 5 * MINUTE);
    const { result } = await verify(snapshot, lands, { attempt: 6, waited: 15 * MINUTE });
    assert.equal(result?.outcome, 'confirmed');
    assert.equal(quiet(await verify(snapshot, { settles_in: 20_000 }, {}), 'confirmed'), 20_000);
  });

  it('tells then, too, that WeChat Pay knows no such policy: an upload can land no more', async () => {
    const known = await stage.policy();
    const snapshot = { ...known, out_insurance_no: `${known.out_insurance_no}0` };
    const lands = { settles_in: 15 * MINUTE, expect_absent: true };
    quiet(await verify(snapshot, lands, { attempt: 5, waited: 10 * MINUTE }), 'verified');
    const { result } = await verify(snapshot, lands, { attempt: 6, waited: 15 * MINUTE });
    assert.equal(result?.outcome === 'refused' && result.status, 404);
  });
});

describe('an attempt that finds nothing', () => {
  const TIME = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+08:00`;

  it('reads as health where the policy is as it should be, in Beijing time', async () => {
    const snapshot = { ...(await stage.policy()), sync: 'SYNCED' };
    const confirmed = (await verify(snapshot, { age: 0 }, {})).failure?.message ?? '';
    assert.match(confirmed, new RegExp(`^OK: verified at ${TIME}, next at ${TIME}$`));
    const verified = (await verify(snapshot)).failure?.message ?? '';
    const [, at = '', next = ''] = new RegExp(`^OK: verified at (${TIME}), next at (${TIME})$`).exec(verified) ?? [];
    assert.ok(Math.abs(Date.parse(at) - Date.now()) < 10_000, verified);
    isWithin(Date.parse(next) - Date.parse(at), 6 * MINUTE);
  });

  it('does not read as health where the policy is not as it should be', async () => {
    const snapshot = { ...(await stage.policy()), sync: 'BLOCKED' };
    for (const at of [{}, DUE]) assert.match((await verify(snapshot, {}, at)).failure?.message ?? '', /^BLOCKED: /);
  });

  it('makes one GET, and is retried when the next verification is due', async () => {
    const snapshot = await stage.policy();
    isWithin(quiet(await verify(snapshot), 'verified'), 6 * MINUTE);
    isWithin(quiet(await verify(snapshot, {}, { attempt: 9, waited: 3 * WEEK }), 'verified'), WEEK);
    assert.deepEqual(await sent(stage.bench, snapshot), ['GET', 'GET']);
  });

  it('is recorded: when it was, and when the next one comes', async () => {
    const snapshot = await stage.policy();
    quiet(await verify(snapshot, {}, {}), 'confirmed');
    for (const attempt of [2, 3]) {
      const from = Date.now();
      const delay = quiet(await verify(snapshot, {}, { ...DUE, attempt }), 'verified');
      const found = await stored(snapshot);
      assert.ok(Number(found?.verified_at) >= from);
      assert.ok(Math.abs(Number(found?.next_verification_at) - Date.now() - delay) < 10_000);
      assert.equal(found?.remote?.insurance_name, snapshot.record.policy.insurance_name);
    }
    const calls = stage.database.client.db().collection('calls');
    assert.equal(await calls.countDocuments({ policy: (await stored(snapshot))?._id, outcome: 'confirmed' }), 2);
  });

  it('is one where WeChat Pay means the same: plan_id as text, another offset, names in another order', async () => {
    const snapshot = await stage.policy({ insured_name_list: ['张三', '李四'] });
    const { plan_id } = snapshot.record.policy;
    await patched(snapshot, {
      plan_id: typeof plan_id === 'number' ? String(plan_id) : Number(plan_id),
      expired_time: '2026-09-21T09:11:12Z',
      insured_name_list: ['李四', '张三'],
      field_of_tomorrow: 1,
    });
    quiet(await verify(snapshot), 'verified');
  });

  it('is one where WeChat Pay still does not know a policy that it is known not to know', async () => {
    const snapshot = await stage.policy();
    await stage.bench.control('DELETE', `/policies/${snapshot.out_insurance_no}`);
    const absent = { expect_absent: true, expected: {} };
    quiet(await verify(snapshot, absent), 'verified');
    // A minute after it was found so, then each time that time has doubled.
    isWithin(quiet(await verify(snapshot, { ...absent, age: 0 }, {}), 'verified'), MINUTE);
    // The first is due after 72 s at most.
    for (const waited of [2, 4, 8])
      isWithin(
        quiet(await verify(snapshot, { ...absent, age: 0 }, { attempt: 2, waited: waited * MINUTE }), 'verified'),
        waited * MINUTE,
      );
  });

  it('is one where the names are still sealed for a key that is not ours', async () => {
    await stage.faults({ names: 'unreadable' });
    const snapshot = await stage.policy();
    quiet(await verify(snapshot, { unreadable: ['insured_name_list'] }), 'verified');
    assert.deepEqual(
      stage.logged.filter(({ level }) => level !== 'info'),
      [],
    );
  });
});

describe('a finding', () => {
  it('is a field that differs, returned with all that WeChat Pay holds', async () => {
    const snapshot = await stage.policy();
    await patched(snapshot, { insurance_name: '别的保险' });
    const { result } = await verify(snapshot);
    assert.equal(result?.outcome === 'confirmed' && result.policy.insurance_name, '别的保险');
  });

  it('is a field that was empty and has a value now', async () => {
    const snapshot = await stage.policy();
    const expected = { ...snapshot.record.policy, combined_payment: false, address: '' };
    assert.equal((await verify(snapshot, { expected })).result?.outcome, 'confirmed');
    await stage.bench.control('PUT', `/policies/${snapshot.out_insurance_no}`, {
      ...snapshot.record.policy,
      address: undefined,
    });
    quiet(await verify(snapshot, { expected }), 'verified');
  });

  it('is a policy that WeChat Pay does not know any more', async () => {
    const snapshot = await stage.policy();
    await stage.bench.control('DELETE', `/policies/${snapshot.out_insurance_no}`);
    const { result } = await verify(snapshot);
    assert.equal(result?.outcome === 'refused' && result.status, 404);
  });

  it('is a policy that appears', async () => {
    const { result } = await verify(await stage.policy(), { expect_absent: true, expected: {} });
    assert.equal(result?.outcome, 'confirmed');
  });

  it('is a refused GET', async () => {
    await stage.faults({ status: 403, code: 'RULE_LIMIT' });
    const { result } = await verify(await stage.policy());
    assert.equal(result?.outcome === 'refused' && result.code, 'RULE_LIMIT');
  });

  it('is a name that no key opens any more, said aloud by its field', async () => {
    await stage.faults({ names: 'unreadable' });
    const { result } = await verify(await stage.policy());
    assert.deepEqual(result?.outcome === 'confirmed' && result.unreadable, ['insured_name_list']);
    assert.deepEqual(stage.logged.find(({ level }) => level === 'error')?.fields.fields, ['insured_name_list']);
  });

  it('is a name that opens again', async () => {
    const { result } = await verify(await stage.policy(), { unreadable: ['insured_name_list'] });
    assert.deepEqual(result?.outcome === 'confirmed' && result.unreadable, []);
  });

  it("is another payload key than the run's, without a request", async () => {
    const snapshot = await stage.policy();
    const { result } = await verify(snapshot, { payload_key: 'k0' });
    assert.deepEqual(result, { outcome: 'key-changed', recorded: true, payload_key: 'k1' });
    assert.deepEqual(await sent(stage.bench, snapshot), []);
    quiet(await verify(snapshot, { payload_key: 'k1' }), 'verified');
  });
});

describe('an attempt that cannot be made', () => {
  for (const action of [
    { status: 429, code: 'FREQUENCY_LIMITED' },
    { status: 500, code: 'SYSTEM_ERROR' },
  ])
    it(`(${action.status}) is retried by backoff, ten minutes at most`, async () => {
      await stage.faults(action);
      const snapshot = await stage.policy();
      const [first, late] = [await verify(snapshot), await verify(snapshot, {}, { attempt: 99, waited: WEEK })];
      const delay = quiet(first, action.code);
      assert.ok(delay >= 500 && delay <= 2000, String(delay));
      assert.ok(quiet(late, action.code) <= 10 * MINUTE);
    });

  it('is followed by one at the next host, and after an answer the main host has its turn again', async () => {
    const hosts = [`http://127.0.0.1:${await freePort()}`, stage.bench.sandbox.url];
    const calls = callsOf(stage, { wechatPay: () => new WechatPay({ ...stage.merchant, base_urls: hosts }) });
    const snapshot = await stage.policy();
    for (const type of ['not-connected', 'verified', 'not-connected'])
      quiet(await calls.verify(snapshot, {}, DUE), type);
  });
});

describe('while MongoDB is down', () => {
  before(() => stage.line.cut());
  after(() => stage.line.mend());

  it('what was settled is tried again before the first verification, by backoff of a minute at most', async () => {
    const snapshot = await stage.policy();
    const { failure } = await verify(snapshot, {}, {});
    assert.equal(failure?.type, 'confirmed');
    assert.ok(Number(failure?.nextRetryDelay) <= 1000);
    const last = await verify(snapshot, {}, { attempt: 20, waited: 40_000 });
    assert.ok(quiet(last, 'confirmed') <= 32_000);
    assert.deepEqual(await sent(stage.bench, snapshot), []);
  });

  it('a verification is made all the same, and the record is tried again within ten minutes', async () => {
    const snapshot = await stage.policy();
    const { failure } = await verify(snapshot, {}, { attempt: 9, waited: 3 * WEEK });
    assert.equal(failure?.type, 'verified');
    assert.match(failure?.message ?? '', /not recorded/);
    assert.equal(Number(failure?.nextRetryDelay), 10 * MINUTE);
    assert.deepEqual(await sent(stage.bench, snapshot), ['GET']);
  });
});
