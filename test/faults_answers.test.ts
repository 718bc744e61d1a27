import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import type { PolicyFields } from '../policy/record.ts';
import { APPROVED } from '../policy/state.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import type { CallOutcome } from '../storage/documents.ts';
import type { Status } from '../workflows/messages.ts';
import { limited } from './faults_answers_list.ts';
import { type Attempt, answersGoneWrong, CHANGES, CUT, UPLOAD } from './faults_answers_lives.ts';
import { CODE, elsewhere, faultWorld, inSeconds } from './faults_answers_world.ts';
import { closedHost, eventually, type FaultWorld, type Life, type PolicyFault, type Terms } from './faults_fixture.ts';

const shared = faultWorld();
let world: FaultWorld;
let closed: string;
before(async () => {
  world = shared();
  closed = await closedHost();
});

describe('WeChat Pay answers', { concurrency: 12, timeout: 180_000 }, () => answersGoneWrong([CHANGES]));

describe('a main host', { concurrency: 8, timeout: 120_000 }, () => {
  for (const [what, dead] of [
    ['that is dead', () => closed],
    ['that DNS does not know', () => 'http://wechatpay.invalid'],
  ] as const) {
    const both = (): Terms => ({ base_urls: [dead(), world.sandbox.url] });
    const alone = (): Terms => ({ base_urls: [dead()] });

    /** Until a call of the policy found nobody; from then on there is a backup host. */
    async function missed({ number }: Life, method: string): Promise<void> {
      const unheard = (calls: CallOutcome[]): boolean =>
        calls.some((call) => call.method === method && call.code === 'not-connected');
      await eventually(() => world.calls(number), unheard);
      world.serve(number, both());
    }

    async function ends({ number, record }: Life, changes: PolicyFields = {}): Promise<void> {
      await world.rests(number);
      await world.assertHeld(number, { ...record.policy, ...changes });
      await world.assertSound(number);
    }

    it(`${what} at the GET of the opening: the backup host is asked`, async () => {
      const life = await world.opened({ terms: alone() });
      await missed(life, 'GET');
      await ends(life);
    });

    it(`${what} at a PATCH: it goes to the backup host, without asking what became of it`, async () => {
      const life = await world.opened();
      await world.rests(life.number);
      world.serve(life.number, alone());
      await world.client.approve(life.policy, { policy_code: CODE });
      await missed(life, 'PATCH');
      await ends(life, { policy_state: APPROVED, policy_code: CODE });
      const methods = (await world.log(life.number)).map(({ method }) => method);
      assert.deepEqual(methods, ['GET', 'PATCH']);
    });

    it(`${what} at the GET after an unknown outcome: the backup host tells`, async () => {
      const life = await world.opened({ faults: () => [{ method: 'GET', do: { delay_ms: 0 } }, CUT] });
      await world.rests(life.number);
      // Whichever of them the PATCH reaches, the GET begins with another.
      world.serve(life.number, { base_urls: [world.sandbox.url, dead(), dead()] });
      await world.client.approve(life.policy, { policy_code: CODE });
      await ends(life, { policy_state: APPROVED, policy_code: CODE });
      const unheard = (await world.calls(life.number)).filter(({ code }) => code === 'not-connected');
      assert.ok(unheard.some(({ method }) => method === 'GET'));
    });

    it(`${what} at a POST: it goes to the backup host, once`, async () => {
      const life = await world.opened({ ...UPLOAD, terms: both() });
      await missed(life, 'POST');
      await ends(life);
      const posts = (await world.log(life.number)).filter(({ method }) => method === 'POST');
      assert.equal(posts.length, 1);
    });

    it(`${what} at a verification: the backup host is asked, and nothing is found`, async () => {
      const life = await world.opened({ settings: { verification: { every: '2s' } } });
      await world.rests(life.number);
      world.serve(life.number, alone());
      await missed(life, 'GET');
      const before = (await world.log(life.number)).length;
      // Attempts that found nobody before the backup host came have made the wait for the next one long.
      await eventually(
        () => world.log(life.number),
        (log) => log.length > before,
        90_000,
      );
      await world.temporal.workflow.getHandle(`policy/${world.mchid}/${life.number}`).terminate();
      await world.assertHeld(life.number, life.record.policy);
      await world.assertSound(life.number);
    });
  }
});

describe('an unknown outcome', { concurrency: 8, timeout: 120_000 }, () => {
  const methods = async (number: string): Promise<Attempt[]> =>
    (await world.calls(number)).map(({ method, code }) => [method, code]);
  const refused = { status: 400, code: 'INVALID_REQUEST' };

  it('and a signed 400 of the repetition, for the first had taken effect late: the GET tells, and nothing is blocked', async () => {
    const { policy, number, record } = await world.opened();
    await world.rests(number);
    const repeated: PolicyFault = { method: 'PATCH', do: { ...refused, effect: true } };
    await world.fault(number, { method: 'PATCH', do: { drop: 'before' } }, repeated);
    await world.client.approve(policy, { policy_code: CODE });
    const { block } = await world.rests(number);
    assert.equal(block, null);
    await world.assertHeld(number, { ...record.policy, policy_state: APPROVED, policy_code: CODE });
    await world.assertSound(number);
    const cut: Attempt[] = [
      ['PATCH', 'no-answer'],
      ['GET', null],
    ];
    if ((await world.owed(number)) > 0) return;
    assert.deepEqual(await methods(number), [['GET', null], ...cut, ['PATCH', refused.code], ['GET', null]]);
  });

  it('and a signed 400 of the repetition, and neither took effect: the GET tells, and it is blocked until resumed', async () => {
    const { policy, number, record } = await world.opened();
    await world.rests(number);
    await world.fault(number, { method: 'PATCH', do: { drop: 'before' } }, { method: 'PATCH', do: refused });
    await world.client.approve(policy, { policy_code: CODE });
    const last = (log: LoggedRequest[]): boolean => log.length === 5 && log.at(-1)?.status === 200;
    await eventually(() => world.log(number), last);
    const blocked = ({ sync, call }: Status): boolean => sync === 'BLOCKED' && call === 'verify';
    const { block } = await eventually(() => world.client.status(policy), blocked);
    assert.equal(block?.code, refused.code);
    await world.client.resume(policy);
    await world.rests(number);
    await world.assertHeld(number, { ...record.policy, policy_state: APPROVED, policy_code: CODE });
    await world.assertSound(number);
  });

  it('of a PATCH that lands late, over a newer one: a verification finds it and puts the newest back', async () => {
    const life = await world.opened({
      settings: { verification: { every: '2s' } },
      changes: { policy_state: APPROVED },
    });
    const { policy, number, record } = life;
    await world.rests(number);
    world.serve(number, { timeout: 1000 });
    await world.fault(number, { method: 'PATCH', do: { delay_ms: 4000 } });
    await world.client.amend(policy, { address: 'late' });
    const gaveUp = (calls: CallOutcome[]): boolean => calls.some(({ code }) => code === 'time-out');
    await eventually(() => world.calls(number), gaveUp);
    world.serve(number, {});
    await world.client.amend(policy, { address: 'newest' });
    const landed = (log: LoggedRequest[]): boolean =>
      log.every(({ ended_at }) => ended_at !== null) && log.at(-1)?.method === 'GET';
    const first = ({ method, body }: LoggedRequest): boolean => method === 'PATCH' && body.includes('late');
    await eventually(
      () => world.log(number),
      (log) => log.filter(first).every(({ ended_at }) => ended_at !== null),
    );
    const newest = (held: PolicyFields | undefined): boolean => held?.address === 'newest';
    await eventually(() => world.held(number), newest);
    await world.rests(number);
    await eventually(() => world.log(number), landed);
    await world.temporal.workflow.getHandle(`policy/${world.mchid}/${number}`).terminate();
    await world.assertHeld(number, { ...record.policy, address: 'newest' });
    await world.assertSound(number);
  });
});

describe('how long a throttled call waits, and where an answer sends it', { concurrency: 4 }, () => {
  for (const [what, retryAfter] of [
    ['in seconds', () => 2],
    ['as a date', () => inSeconds(4)],
  ] as const)
    it(`Retry-After ${what} is waited for`, async () => {
      const { policy, number } = await world.opened();
      await world.rests(number);
      const retry_after = retryAfter();
      await world.fault(number, { method: 'PATCH', do: { ...limited, retry_after } });
      await world.client.approve(policy, { policy_code: CODE });
      await world.rests(number);
      const [throttled, again] = (await world.log(number)).filter(({ method }) => method === 'PATCH');
      const ended = Date.parse(throttled?.ended_at ?? '');
      const due = typeof retry_after === 'string' ? Date.parse(retry_after) : ended + retry_after * 1000;
      // Both servers cut times to the millisecond.
      assert.ok(Date.parse(again?.at ?? '') >= due - 10, `${again?.at} is before ${new Date(due).toISOString()}`);
    });

  it('Retry-After of an hour delays no alert, and a change of a user leaves at once', async () => {
    const { policy, number } = await world.opened({ settings: { retry_alert_after: '2s' } });
    await world.rests(number);
    await world.fault(number, { method: 'PATCH', do: { ...limited, retry_after: 3600 } });
    await world.client.approve(policy, { policy_code: CODE });
    await eventually(
      () => world.client.status(policy),
      ({ sync }) => sync === 'RETRYING',
    );
    const patches = async () => (await world.log(number)).filter(({ method }) => method === 'PATCH').length;
    assert.equal(await patches(), 1, 'not sent again before its time');
    await world.client.amend(policy, { address: 'newest' });
    await world.rests(number);
    assert.equal(await patches(), 2);
  });

  it('a redirect is not followed', async () => {
    const { number } = await world.opened({ faults: () => [{ method: 'GET', do: { redirect: elsewhere() } }] });
    await world.rests(number);
    const paths = (await world.requests()).map(({ path }) => path);
    assert.ok(!paths.some((path) => path.endsWith('/elsewhere')));
  });
});
