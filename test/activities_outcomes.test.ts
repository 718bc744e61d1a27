import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import type { CallResult } from '../activities/types/results.ts';
import type { Snapshot } from '../activities/types/snapshot.ts';
import type { PolicyFields } from '../policy/record.ts';
import { findPolicy } from '../storage/policies.ts';
import { WechatPay } from '../wechatpay/client.ts';
import { callsOf, delayOf, heldOf, type Stage, sent, setStage, snapshotOf } from './activities_fixture.ts';
import { eventually } from './faults_fixture.ts';

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
        const { policy_state } = await heldOf(stage, snapshot.out_insurance_no);
        const isTaken = policy_state === APPROVAL.policy_state;
        if (result === undefined || result.outcome === 'refused') assert.equal(isTaken, false);
        if (result?.outcome === 'confirmed') assert.equal(isTaken, true);
      }),
      { numRuns: 40 },
    );
  });
});

describe('a run that a reset made, and that was not told so yet', () => {
  const isTold = async (): Promise<void> => {
    const snapshot: Snapshot = { ...(await stage.policy()), run: 'the run before' };
    const { revision, step } = snapshot;
    const told = { outcome: 'behind', recorded: false, ahead: { revision, step }, run: 'run-1' };
    const calls = callsOf(stage);
    for (const { result } of [
      await calls.push(snapshot, APPROVAL),
      await calls.query(snapshot),
      await calls.verify(snapshot),
    ])
      assert.deepEqual(result, told);
    assert.ok(!stage.logged.some(({ message }) => message === 'WeChat Pay was called'), 'nothing was sent');
  };

  it('is told that it is behind, and makes no request, though MongoDB has nothing later', isTold);

  it('brings nothing to MongoDB under ids that it is about to give up', async () => {
    const snapshot: Snapshot = { ...(await stage.policy()), run: 'the run before' };
    const { life, revision } = snapshot;
    const command = { id: `${life}.7`, command: 'amend', before: {}, after: {}, revision, at: 1 };
    const stands = { state: 'APPROVED', sync: 'SYNCED', revision, synced_revision: revision } as const;
    const event = { id: `${life}_7`, type: 'policy.confirmed', sequence: 7, at: 1, ...stands } as const;
    const told = await callsOf(stage, { events: true }).query({ ...snapshot, commands: [command], events: [event] });
    assert.equal(told.result?.outcome, 'behind');
    const policy = `${snapshot.mchid}/${snapshot.out_insurance_no}`;
    assert.equal(await stage.storage.commands.countDocuments({ policy, command: 'amend' }), 0);
    assert.equal(await stage.storage.events.countDocuments({ policy }), 0);
  });

  it('and while MongoDB is away', async (t) => {
    await stage.line.cut();
    t.after(() => stage.line.mend());
    await isTold();
  });

  it('makes its calls once it was told', async () => {
    const snapshot: Snapshot = { ...(await stage.policy()), run: 'run-1' };
    assert.equal((await callsOf(stage).push(snapshot, APPROVAL)).result?.outcome, 'confirmed');
  });
});

describe('while MongoDB is down', () => {
  before(() => stage.line.cut());
  after(() => stage.line.mend());

  it('a call goes on, and says that it was not recorded', async () => {
    const snapshot = await stage.policy();
    const { result } = await callsOf(stage).push(snapshot, APPROVAL);
    assert.deepEqual([result?.outcome, result?.recorded], ['confirmed', false]);
    assert.equal((await heldOf(stage, snapshot.out_insurance_no)).policy_state, APPROVAL.policy_state);
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
