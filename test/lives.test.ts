import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { APPROVED, DECLINED, INACTIVE } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { until } from './client_namespace.ts';
import { DAY, recordOf, uniqueNumber } from './fixtures.ts';
import { restingLength } from './history_events.ts';
import { HISTORY_KEYS, keptHistories } from './kept_histories.ts';
import { livesIn } from './lives_fixture.ts';
import { startWorld, type World } from './world.ts';

// Whole lives on the time-skipping server: years of calendar, each call made for real over HTTP.
describe('a whole life', { timeout: 300_000 }, () => {
  let world: World;
  let stop: () => Promise<void>;
  before(async () => {
    world = await startWorld({ timeSkipping: true, keys: HISTORY_KEYS });
    stop = await world.startWorkers();
  });
  const kept = keptHistories(() => world);
  beforeEach((context) => kept.named(context));
  after(async () => {
    await kept.save();
    await stop?.();
    await world?.close();
  });

  const { now, opened, approved, skip, synced, standing } = livesIn(() => world, kept.keep);

  it('opens and closes its renewal window, expires, and ends thirty days after', async () => {
    const { policy, number, expires } = await approved();
    await skip(expires - 60 * DAY + 1000);
    await synced(number, ({ window }) => window === 'open');
    const open = await world.held(number);
    assert.equal(open?.start_renewal_time, wireTime(expires - 60 * DAY));
    assert.equal(open?.end_renewal_time, wireTime(expires + 30 * DAY));
    assert.equal(open?.support_renewal, true);
    await skip(expires + 1000);
    await synced(number, ({ state }) => state === 'INACTIVE');
    assert.equal((await world.held(number))?.policy_state, INACTIVE);
    assert.equal((await world.held(number))?.support_renewal, true, 'the window is open still');
    await skip(expires + 30 * DAY + 1000);
    await world.until(number, () => true);
    await skip(expires + 31 * DAY);
    assert.equal((await world.held(number))?.support_renewal, false);
    assert.equal(await standing(policy), 'COMPLETED, shown as SYNCED');
  });

  it('ends when declined, once WeChat Pay was asked last', async () => {
    const { policy, number } = await opened();
    await world.client.decline(policy, { reason: 'health' });
    await world.temporal.workflow.getHandle(`policy/${policy.mchid}/${number}`).result();
    assert.equal((await world.held(number))?.policy_state, DECLINED);
    assert.equal((await world.requests(number)).at(-1)?.method, 'GET');
    await assert.rejects(world.client.amend(policy, { address: 'x' }), { name: 'PolicyEnded' });
    const record = recordOf({ out_insurance_no: number }, { mchid: policy.mchid }, { now: await now() });
    await assert.rejects(world.client.openPolicy(record), { name: 'PolicyEnded' });
  });

  it('lapses, and is reinstated within two years', async () => {
    const { policy, number, begin } = await approved();
    await world.client.cancel(policy, { cause: 'LAPSE' });
    await synced(number);
    assert.equal((await world.held(number))?.policy_state, INACTIVE);
    await skip(begin + 700 * DAY);
    const expired_time = wireTime((await now()) + 300 * DAY);
    await world.client.reinstate(policy, { reason: 'premium paid', expired_time });
    await synced(number);
    const held = await world.held(number);
    assert.deepEqual([held?.policy_state, held?.expired_time], [APPROVED, expired_time]);
  });

  it('renews for a second term of the same number in one PATCH, and plans the window anew', async () => {
    const { policy, number, expires } = await approved();
    await skip(expires + DAY);
    await synced(number, ({ state }) => state === 'INACTIVE');
    const before = (await world.requests(number)).filter(({ method }) => method === 'PATCH').length;
    const expired_time = wireTime(expires + 365 * DAY);
    await world.client.renew(policy, { expired_time, policy_code: 'C2' });
    await synced(number);
    const patches = (await world.requests(number)).filter(({ method }) => method === 'PATCH').slice(before);
    assert.equal(patches.length, 1);
    const body = JSON.parse(patches[0]?.body ?? '{}');
    assert.deepEqual([body.policy_state, body.policy_code, body.expired_time], [APPROVED, 'C2', expired_time]);
    await skip(expires + 305 * DAY + 1000);
    await synced(number, ({ window }) => window === 'open');
    assert.equal((await world.held(number))?.start_renewal_time, wireTime(expires + 305 * DAY));
  });

  it('closes its window when another policy continues it', async () => {
    const { policy, number, expires } = await approved();
    await skip(expires - 30 * DAY);
    await synced(number, ({ window }) => window === 'open');
    await world.client.renew(policy, { as: 'NEXT1' });
    await synced(number);
    assert.equal((await world.held(number))?.support_renewal, false);
  });

  it('a cancellation to come is carried out at its time, unless it is withdrawn', async () => {
    const [kept, withdrawn] = [await approved(), await approved()];
    const at = wireTime((await now()) + 10 * DAY);
    for (const { policy, number } of [kept, withdrawn]) {
      await world.client.cancel(policy, { at });
      await synced(number);
    }
    await world.client.withdraw(withdrawn.policy);
    await skip((await now()) + 11 * DAY);
    await synced(kept.number, ({ state }) => state === 'INACTIVE');
    await synced(withdrawn.number);
    assert.equal((await world.held(kept.number))?.policy_state, INACTIVE);
    assert.equal((await world.held(withdrawn.number))?.policy_state, APPROVED);
  });

  it('on hold lets its due times pass, and does what came due, as of its time, when it is let go', async () => {
    const { policy, number, expires } = await approved();
    await world.client.hold(policy, { reason: 'r' });
    await world.until(number, ({ sync, call }) => sync === 'HELD' && call === null);
    const before = (await world.requests(number)).length;
    await skip(expires + DAY);
    const status = await world.client.status(policy);
    assert.deepEqual([status.sync, status.state, status.next?.what], ['HELD', 'APPROVED', 'fresh-run']);
    assert.equal((await world.requests(number)).length, before);
    await world.client.unhold(policy);
    await synced(number, ({ state }) => state === 'INACTIVE');
    assert.equal((await world.held(number))?.policy_state, INACTIVE);
    const { next } = await world.client.status(policy);
    assert.deepEqual(
      [next?.what, Date.parse(next?.at ?? '')],
      ['window-closes', Date.parse(wireTime(expires)) + 30 * DAY],
    );
  });

  it('is marked when issuing takes too long, and when cover ends before it was issued', async () => {
    const { number, begin, expires } = await opened();
    await skip(begin + 4 * DAY);
    assert.deepEqual((await world.until(number, ({ attention }) => attention.length > 0)).attention, [
      'issuing-overdue',
    ]);
    await skip(expires + DAY);
    const status = await world.until(number, ({ attention }) => attention.length > 1);
    assert.deepEqual(status.attention, ['issuing-overdue', 'issuing-past-expiry']);
  });

  it('hands over to a fresh run after 90 days, and knows its events and versions still', async () => {
    const { policy, number, begin } = await opened({ issuing_alert_after: '300d' });
    const first = { policy_code: 'C1', event_id: 'e1', version: 7 };
    const answer = await world.client.approve(policy, first);
    await synced(number);
    const run = (await world.temporal.workflow.getHandle(`policy/${policy.mchid}/${number}`).describe()).runId;
    await skip(begin + 91 * DAY);
    await synced(number);
    const fresh = await world.temporal.workflow.getHandle(`policy/${policy.mchid}/${number}`).describe();
    assert.notEqual(fresh.runId, run);
    assert.deepEqual(await world.client.approve(policy, first), answer);
    const late = await world.client.amend(policy, { address: 'late', version: 7 });
    assert.equal(late.outcome, 'superseded');
    assert.equal((await world.client.amend(policy, { address: 'new', version: 8 })).outcome, 'accepted');
    await synced(number);
    assert.equal((await world.held(number))?.address, 'new');
  });

  it('an ended policy is reinstated in a new run from its record', async () => {
    const { policy, number, begin } = await approved();
    await world.client.cancel(policy);
    await synced(number);
    await skip(begin + 32 * DAY);
    assert.equal(await standing(policy), 'COMPLETED, shown as SYNCED');
    const before = await world.client.status(policy);
    await world.client.reinstate(policy, { reason: 'by court order' });
    const status = await synced(number);
    assert.ok(status.revision > before.revision, 'revisions go on');
    assert.equal((await world.held(number))?.policy_state, APPROVED);
    assert.equal(status.state, 'APPROVED');
  });

  it('a stop ends the run as cancelled, and resume goes on from the record', async () => {
    const { policy, number } = await approved();
    const handle = world.temporal.workflow.getHandle(`policy/${policy.mchid}/${number}`);
    await handle.cancel();
    await assert.rejects(handle.result());
    assert.equal(await standing(policy), 'CANCELLED, shown as STOPPED');
    assert.equal((await world.held(number))?.policy_state, APPROVED, 'a stop is no surrender');
    await world.client.resume(policy);
    await synced(number);
    await world.client.amend(policy, { address: 'after the stop' });
    await synced(number);
    assert.equal((await world.held(number))?.address, 'after the stop');
  });

  it('a surrender leaves as soon as a caller of verify, whom WeChat Pay does not answer, has given up', async () => {
    const { policy, number } = await approved({ retry_alert_after: '300d' });
    // The GET has to be waiting when it is given up: this server never ends one that is cancelled while its attempt runs,
    // and then fails. The real one does.
    await world.faults({
      match: { out_insurance_no: number, method: 'GET' },
      do: { status: 503, code: 'SYSTEM_ERROR', retry_after: 3600 },
    });
    const asked = assert.rejects(world.client.verify(policy), { name: 'Unavailable' });
    await world.until(number, ({ call }) => call === 'query');
    await world.armed(number);
    await world.client.cancelBySignal(policy);
    await skip((await now()) + 61_000);
    await asked;
    await world.until(number, ({ sync }) => sync === 'SYNCED');
    assert.equal((await world.held(number))?.policy_state, INACTIVE);
    await world.faults();
  });

  it('that WeChat Pay does not know is asked for after 1, 2, 4, … minutes at no event, and goes on once it does', async () => {
    const begin = await now();
    const number = uniqueNumber('L');
    const settings = { mchid: world.mchid, verification: { every: '60d' } };
    const record = recordOf({ out_insurance_no: number }, settings, { now: begin });
    await world.client.openPolicy(record);
    kept.keep(number);
    await world.until(number, ({ block, call }) => block?.code === 'UNKNOWN_POLICY' && call === 'verify');
    await world.armed(number);
    const asked = async (): Promise<number> => (await world.requests(number)).length;
    const handle = world.temporal.workflow.getHandle(`policy/${world.mchid}/${number}`);
    const [calls, before] = [await asked(), await restingLength(handle)];
    // Each interval is a fifth more or less than the doubled one.
    await skip(begin + 3 * 60_000);
    assert.ok([1, 2].includes((await asked()) - calls), `asked ${(await asked()) - calls} times in 3 minutes`);
    await skip(begin + DAY);
    const times = (await asked()) - calls;
    // Eleven or so; this server may let an attempt time out that runs while it skips, and have it made again.
    assert.ok(times >= 9 && times <= 25, `asked ${times} times in a day`);
    assert.equal(await restingLength(handle), before);
    await world.put({ ...record.policy });
    await skip(begin + 3 * DAY);
    await synced(number);
    assert.deepEqual(new Set((await world.requests(number)).map(({ method }) => method)), new Set(['GET']));
  });

  it('a surrender leaves though callers of verify, whom WeChat Pay does not answer, come one after another', async () => {
    const { policy, number } = await approved({ retry_alert_after: '300d' });
    await world.faults({
      match: { out_insurance_no: number, method: 'GET' },
      do: { status: 503, code: 'SYSTEM_ERROR', retry_after: 3600 },
    });
    const first = assert.rejects(world.client.verify(policy), { name: 'Unavailable' });
    await world.until(number, ({ call }) => call === 'query');
    await world.armed(number);
    await world.client.cancelBySignal(policy);
    await skip((await now()) + 40_000);
    const asked = (await world.requests(number)).length;
    const second = world.client.verify(policy);
    // It is asked anew for both, and has to be waiting again.
    await until(async () => (await world.requests(number)).length > asked);
    await world.armed(number);
    await skip((await now()) + 21_000);
    await first;
    await world.until(number, ({ sync }) => sync === 'SYNCED');
    assert.equal((await world.held(number))?.policy_state, INACTIVE);
    assert.deepEqual((await second).differences, [], 'what the PATCH was answered tells who still waits');
    await world.faults();
  });

  it('tells of a change that waits for longer than retry_alert_after', async () => {
    const { policy, number } = await approved({ retry_alert_after: '15m' });
    await world.faults({ match: { out_insurance_no: number }, do: { status: 429, code: 'FREQUENCY_LIMITED' } });
    await world.client.amend(policy, { address: 'waits' });
    await skip((await now()) + 30 * 60 * 1000);
    assert.equal((await world.until(number, ({ sync }) => sync === 'RETRYING')).sync, 'RETRYING');
    await world.faults();
    await world.client.resume(policy);
    await synced(number);
    assert.equal((await world.held(number))?.address, 'waits');
  });
});
