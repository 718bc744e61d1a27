import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { PolicyFields } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { listCommands } from '../storage/commands.ts';
import type { Status } from '../workflows/messages.ts';
import { eventually, type FaultWorld, type Life, type Opening, startFaultWorld } from './faults_fixture.ts';
import { DAY, SECOND } from './fixtures.ts';

// Messages that come twice, late, in another order, and at the worst moment (docs/faults.md).
let world: FaultWorld;
before(async () => {
  world = await startFaultWorld();
});
after(() => world?.close());

const CODE = 'C1';
const REFUSED = { status: 400, code: 'REFUSED_BY_FAULT' };
const THROTTLED = { status: 429, code: 'FREQUENCY_LIMITED', retry_after: 600 };

async function rested(opening: Opening = {}): Promise<Life> {
  const life = await world.opened(opening);
  await world.rests(life.number);
  return life;
}

const approved = (opening: Opening = {}): Promise<Life> =>
  rested({ ...opening, changes: { policy_state: APPROVED, support_renewal: false, ...opening.changes } });

/** What the policy's PATCHes carried, in order. */
async function patches(number: string): Promise<PolicyFields[]> {
  const log = await world.log(number);
  return log.filter(({ method }) => method === 'PATCH').map(({ body }) => JSON.parse(body));
}

/** Until so many PATCHes have arrived. */
const patched = (number: string, count = 1): Promise<unknown> =>
  eventually(
    () => patches(number),
    ({ length }) => length >= count,
  );

async function ends({ number, record }: Life, changes: PolicyFields): Promise<void> {
  await world.rests(number);
  await world.assertHeld(number, { ...record.policy, ...changes });
  await world.assertSound(number);
}

const handleOf = ({ number }: Life) => world.temporal.workflow.getHandle(`policy/${world.mchid}/${number}`);

describe('a message', { concurrency: 8, timeout: 120_000 }, () => {
  it('that comes again gets its first answer, whatever it says and in whatever kind it comes', async () => {
    const life = await approved();
    const { policy, number } = life;
    const first = await world.client.amend(policy, { address: 'first', event_id: 'e1' });
    const again = await Promise.all([
      world.client.amend(policy, { address: 'again', event_id: 'e1' }),
      world.client.cancel(policy, { event_id: 'e1' }),
      world.client.cancelBySignal(policy, { event_id: 'e1' }),
    ]);
    assert.deepEqual(again, [first, first, 'e1']);
    await ends(life, { address: 'first' });
    assert.equal((await patches(number)).length, 1);
  });

  it('that is older than one accepted changes nothing, in whatever order they come', async () => {
    const life = await approved();
    const outcomes: string[] = [];
    for (const version of [3, 1, 5, 4, 5, 2]) {
      const { outcome } = await world.client.amend(life.policy, { address: `of version ${version}`, version });
      outcomes.push(outcome);
    }
    assert.deepEqual(outcomes, ['accepted', 'superseded', 'accepted', 'superseded', 'superseded', 'superseded']);
    await ends(life, { address: 'of version 5' });
  });

  it('that comes 500 times hands over to a fresh run, which knows events and versions still', async () => {
    const life = await approved();
    const { policy, number } = life;
    const first = await world.client.amend(policy, { address: 'first', event_id: 'e1', version: 7 });
    const cancellation = { event_id: 'c1', at: wireTime(Date.now() + 100 * DAY) };
    await world.client.cancelBySignal(policy, cancellation);
    const handle = handleOf(life);
    const { runId } = await handle.describe();
    for (let sent = 0; sent < 500; sent += 50)
      await Promise.all(Array.from({ length: 50 }, () => world.client.cancelBySignal(policy, cancellation)));
    await world.client.amend(policy, { car_number: 'B1', version: 8 });
    await eventually(
      () => handle.describe(),
      (description) => description.runId !== runId,
    );
    assert.deepEqual(await world.client.amend(policy, { address: 'again', event_id: 'e1' }), first);
    const late = await world.client.amend(policy, { address: 'late', version: 8 });
    assert.equal(late.outcome, 'superseded');
    // In the run in which it was opened, too, the same record counts for nothing when it comes again.
    await world.client.openPolicy(life.record, { version: 1000 });
    await world.client.withdraw(policy, { version: 9 });
    await world.client.cancelBySignal(policy, cancellation);
    await ends(life, { address: 'first', car_number: 'B1' });
    assert.equal((await world.client.status(policy)).cancellation, null, 'withdrawn, and known when it came again');
    assert.equal((await patches(number)).length, 2);
  });

  it('to an ended policy is refused, and to the reinstated one answered as the first time', async () => {
    const life = await rested({ settings: { reinstatement_within: '1s' } });
    const { policy } = life;
    const first = await world.client.approve(policy, { policy_code: CODE, event_id: 'e1', version: 3 });
    const second = await world.client.cancel(policy, { event_id: 'e2', version: 4 });
    await eventually(
      () => handleOf(life).describe(),
      ({ status }) => status.name === 'COMPLETED',
    );
    await assert.rejects(world.client.amend(policy, { address: 'late' }), { name: 'PolicyEnded' });
    await assert.rejects(world.client.cancelBySignal(policy, { event_id: 'e2' }), { name: 'PolicyEnded' });
    const third = await world.client.reinstate(policy, { reason: 'paid', event_id: 'e3', version: 5 });
    assert.equal(third.outcome, 'accepted');
    await world.rests(life.number);
    assert.deepEqual(await world.client.approve(policy, { policy_code: 'C2', event_id: 'e1', version: 3 }), first);
    assert.deepEqual(await world.client.cancel(policy, { event_id: 'e2', version: 4 }), second);
    assert.deepEqual(await world.client.reinstate(policy, { reason: 'paid', event_id: 'e3', version: 5 }), third);
    assert.equal((await world.client.amend(policy, { address: 'late', version: 4 })).outcome, 'superseded');
    await ends(life, { policy_state: APPROVED, policy_code: CODE });
  });

  it('that comes as an update and as a signal at the same time is one', async () => {
    const life = await approved();
    const { policy, number } = life;
    await Promise.all([
      world.client.cancel(policy, { event_id: 'c1' }),
      world.client.cancelBySignal(policy, { event_id: 'c1' }),
    ]);
    await ends(life, { policy_state: INACTIVE });
    assert.equal((await world.client.status(policy)).revision, 2);
    const told = await eventually(
      () => listCommands(world.storage, `${world.mchid}/${number}`, 50),
      (commands) => commands.some(({ command }) => command === 'cancel'),
    );
    assert.equal(told.filter(({ command }) => command === 'cancel').length, 1);
  });

  it('of cancellation that comes after another of another cause leaves the first one', async () => {
    const life = await approved();
    const answers = await Promise.all([
      world.client.cancel(life.policy, { cause: 'LAPSE' }),
      world.client.cancel(life.policy, { cause: 'SURRENDER' }),
    ]);
    const outcomes = answers.map(({ outcome }) => outcome);
    assert.deepEqual(outcomes.toSorted(), ['accepted', 'unchanged']);
    await ends(life, { policy_state: INACTIVE });
    assert.equal((await patches(life.number)).length, 1);
    const { next } = await world.client.status(life.policy);
    // A surrendered policy can be reinstated for thirty days and then ends; a lapsed one for two years.
    assert.equal(next?.what, outcomes[0] === 'accepted' ? 'fresh-run' : 'end');
  });
});

describe('cancel and amend', { concurrency: 8, timeout: 120_000 }, () => {
  for (const [what, wrong] of [
    ['goes well', {}],
    ['is cut before it takes effect', { drop: 'before' }],
    ['is cut after it took effect', { drop: 'after' }],
  ] as const)
    it(`cancel during an approve that ${what}: INACTIVE, by legal calls one at a time`, async () => {
      const life = await rested();
      await world.fault(life.number, { method: 'PATCH', do: { delay_ms: 700, ...wrong } });
      await world.client.approve(life.policy, { policy_code: CODE });
      await patched(life.number);
      await world.client.cancel(life.policy);
      await ends(life, { policy_state: INACTIVE, policy_code: CODE });
    });

  it('while a push backs off for ten minutes both leave at once, in one PATCH', async () => {
    const life = await rested();
    await world.fault(life.number, { method: 'PATCH', do: THROTTLED });
    await world.client.approve(life.policy, { policy_code: CODE });
    await eventually(
      () => world.calls(life.number),
      (calls) => calls.some(({ code }) => code === THROTTLED.code),
    );
    await Promise.all([
      world.client.amend(life.policy, { address: 'newest' }),
      world.client.cancelBySignal(life.policy, {}),
    ]);
    await ends(life, { policy_state: INACTIVE, policy_code: CODE, address: 'newest' });
  });

  it('while an attempt runs wait for its end, and then leave', async () => {
    const life = await approved();
    await world.fault(life.number, { method: 'PATCH', do: { delay_ms: 1000 } });
    await world.client.amend(life.policy, { address: 'earlier', car_number: 'B1' });
    await patched(life.number);
    await world.client.amend(life.policy, { address: 'newest' });
    await world.client.cancel(life.policy);
    await ends(life, { policy_state: INACTIVE, address: 'newest', car_number: 'B1' });
  });
});

describe('a policy that is BLOCKED', { concurrency: 8, timeout: 120_000 }, () => {
  async function blocked(): Promise<Life> {
    const life = await approved();
    await world.fault(life.number, { method: 'PATCH', do: REFUSED });
    await world.client.amend(life.policy, { address: 'refused' });
    await standing(life, ({ sync }) => sync === 'BLOCKED');
    return life;
  }

  const standing = ({ policy }: Life, wanted: (status: Status) => boolean): Promise<Status> =>
    eventually(() => world.client.status(policy), wanted);

  it('goes on with an amendment of what was refused', async () => {
    const life = await blocked();
    await world.client.amend(life.policy, { address: 'amended' });
    await ends(life, { address: 'amended' });
    assert.equal((await patches(life.number)).length, 2);
  });

  it('sends an amendment of something else, never the refused value again, and stays BLOCKED', async () => {
    const life = await blocked();
    await world.client.amend(life.policy, { car_number: 'B1' });
    await patched(life.number, 2);
    const { block } = await standing(life, ({ call }) => call === 'verify');
    assert.equal(block?.code, REFUSED.code);
    assert.deepEqual((await patches(life.number)).at(-1), { car_number: 'B1' });
    await world.assertHeld(life.number, { car_number: 'B1', address: life.record.policy.address });
    await world.assertSound(life.number);
  });

  it('expires all the same, and sends what was refused once it is resumed', async () => {
    const life = await blocked();
    const expired_time = wireTime(Date.now() + 3 * SECOND);
    await world.client.amend(life.policy, { expired_time });
    await eventually(
      () => world.held(life.number),
      (held) => held?.policy_state === INACTIVE,
    );
    await standing(life, ({ sync, state, call }) => sync === 'BLOCKED' && state === 'INACTIVE' && call === 'verify');
    assert.ok((await patches(life.number)).slice(1).every((body) => !('address' in body)));
    await world.client.resume(life.policy);
    await ends(life, { policy_state: INACTIVE, expired_time, address: 'refused' });
  });
});

describe('a renewal in the second of the expiry', { concurrency: 8, timeout: 120_000 }, () => {
  const longer = (): string => wireTime(Date.now() + 400 * DAY);

  it('that comes while the expiry is on its way to WeChat Pay: INACTIVE, then APPROVED for the new term', async () => {
    const life = await approved();
    await world.client.amend(life.policy, { expired_time: wireTime(Date.now() + 2 * SECOND) });
    await patched(life.number);
    await world.rests(life.number);
    await world.fault(life.number, { method: 'PATCH', do: { delay_ms: 1500 } });
    await eventually(
      () => patches(life.number),
      (bodies) => bodies.some(({ policy_state }) => policy_state === INACTIVE),
    );
    const expired_time = longer();
    await world.client.renew(life.policy, { expired_time });
    await ends(life, { policy_state: APPROVED, expired_time });
    const states = (await patches(life.number)).flatMap(({ policy_state }) => policy_state ?? []);
    assert.deepEqual(states, [INACTIVE, APPROVED]);
  });

  it('that is on its way to WeChat Pay when cover would end: never INACTIVE', async () => {
    const life = await approved();
    const expires = Date.now() + 6 * SECOND;
    await world.client.amend(life.policy, { expired_time: wireTime(expires) });
    await patched(life.number);
    await world.fault(life.number, { method: 'PATCH', do: { delay_ms: 7 * SECOND } });
    const expired_time = longer();
    await world.client.renew(life.policy, { expired_time });
    const inTime = Date.now() < expires - SECOND;
    await ends(life, { policy_state: APPROVED, expired_time });
    const states = (await patches(life.number)).flatMap(({ policy_state }) => policy_state ?? []);
    if (inTime) assert.deepEqual(states, []);
  });

  it('that meets it, whichever comes first: APPROVED for the new term', async () => {
    const lives = await Promise.all(Array.from({ length: 5 }, () => approved()));
    const expires = Math.ceil(Date.now() / SECOND + 3) * SECOND;
    await Promise.all(lives.map(({ policy }) => world.client.amend(policy, { expired_time: wireTime(expires) })));
    const expired_time = longer();
    await Promise.all(
      lives.map(async ({ policy }, index) => {
        await delay(expires - Date.now() + (index - 2) * 20);
        await world.client.renew(policy, { expired_time });
      }),
    );
    await Promise.all(lives.map((life) => ends(life, { policy_state: APPROVED, expired_time })));
  });
});
