import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { APPROVED } from '../policy/state.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import { startWorld, type World } from './world.ts';

const HOUR = 60 * 60 * 1000;
/** From the change to SYNCED, whatever happens in between. */
const MOST_EVENTS = 45;

const OUTAGES: [string, FaultRule['do']][] = [
  ['5xx', { status: 500, code: 'SYSTEM_ERROR' }],
  ['401', { status: 401, code: 'SIGN_ERROR', unsigned: true }],
  ['429', { status: 429, code: 'FREQUENCY_LIMITED' }],
  ['time-outs and cut connections', { drop: 'before' }],
];

// On the time-skipping server, so that a day takes seconds; every attempt is made for real.
describe('an outage', { timeout: 240_000 }, () => {
  let world: World;
  let stop: () => Promise<void>;
  before(async () => {
    world = await startWorld({ timeSkipping: true });
    stop = await world.startWorkers();
  });
  after(async () => {
    await stop?.();
    await world?.close();
  });

  async function opened(): Promise<{ mchid: string; out_insurance_no: string }> {
    const now = (await world.env?.currentTimeMs()) ?? 0;
    const out_insurance_no = uniqueNumber('O');
    const settings = { mchid: world.mchid, verification: { every: '60d' } };
    const record = recordOf({ out_insurance_no, policy_state: APPROVED }, settings, { now });
    await world.put({ ...record.policy });
    await world.client.openPolicy(record);
    await resting(out_insurance_no);
    await world.armed(out_insurance_no);
    return { mchid: world.mchid, out_insurance_no };
  }

  async function resting(number: string): Promise<void> {
    await world.until(
      number,
      ({ sync, revision, synced_revision, call }) =>
        sync === 'SYNCED' && synced_revision === revision && call === 'verify',
      60_000,
    );
  }

  /** All events, and those beside workflow tasks: how many of these it takes is a matter of timing. */
  async function eventsOf(number: string): Promise<{ all: number; lasting: number }> {
    const handle = world.temporal.workflow.getHandle(`policy/${world.mchid}/${number}`);
    while ((await handle.describe()).raw.pendingWorkflowTask) await delay(50);
    const { events } = await handle.fetchHistory();
    const lasting = events?.filter((event) => !Object.keys(event).some((key) => key.startsWith('workflowTask')));
    return { all: events?.length ?? 0, lasting: lasting?.length ?? 0 };
  }

  /** Events that a change costs which comes at the begin of an outage of so many ms. */
  async function cost(fault: FaultRule['do'], outage: number): Promise<{ all: number; lasting: number }> {
    const policy = await opened();
    const number = policy.out_insurance_no;
    const events = await eventsOf(number);
    await world.faults({ match: { out_insurance_no: number }, do: fault });
    await world.client.amend(policy, { address: 'B' });
    await world.env?.sleep(outage);
    const { sync } = await world.client.status(policy);
    assert.equal(sync, 'RETRYING', 'the wait has been told of');
    const tried = (await world.requests(number)).length;
    await world.faults();
    // Backed off to ten minutes by then.
    await world.env?.sleep(HOUR / 4);
    await resting(number);
    assert.equal((await world.held(number))?.address, 'B');
    assert.ok(tried >= 10, `tried ${tried} times meanwhile`);
    const after = await eventsOf(number);
    return { all: after.all - events.all, lasting: after.lasting - events.lasting };
  }

  for (const [what, fault] of OUTAGES)
    it(`of ${what} for a day costs no more events than for an hour, and at most ${MOST_EVENTS} to SYNCED`, async (context) => {
      const hour = await cost(fault, HOUR);
      const day = await cost(fault, 24 * HOUR);
      context.diagnostic(`events: an hour ${hour.all}, a day ${day.all}`);
      assert.ok(day.lasting <= hour.lasting, `an hour ${hour.lasting}, a day ${day.lasting}`);
      assert.ok(day.all <= MOST_EVENTS, `${day.all} events`);
    });
});
