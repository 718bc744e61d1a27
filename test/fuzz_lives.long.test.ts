// Random lives on the time-skipping server: the workflow, its workers, MongoDB and the strict sandbox over HTTP.
// LIVES_SEQUENCES sets how many, LIVES_SEED which; both are printed. npm test gives a file 15 minutes: 500 go in parts, by several seeds.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { differences } from '../policy/difference.ts';
import { DECLINED, INACTIVE } from '../policy/state.ts';
import { findPolicy } from '../storage/policies.ts';
import type { Status } from '../workflows/messages.ts';
import { DAY } from './fixtures.ts';
import {
  expectDecisionsTaken,
  inTime,
  LANDING_MS,
  Life,
  type LifePlan,
  life,
  MINUTE,
  MOST_EVENTS,
  ServerAtFault,
} from './fuzz_lives_life.ts';
import { refusedDecisions } from './quiet.ts';
import { startWorld, type World } from './world.ts';

const SEQUENCES = Number(process.env.LIVES_SEQUENCES ?? 20);
const SEED = Number(process.env.LIVES_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** Lives that go on at the same time: the server has one clock. */
const AT_ONCE = 20;

const CLOCKS = 3;

const ASKED_AT_ONCE = 6;

/** What passes for all lives between their steps. */
const spans = fc.array(fc.constantFrom(0, MINUTE, 5 * MINUTE, 20 * MINUTE, DAY, 20 * DAY, 100 * DAY), {
  minLength: 12,
  maxLength: 12,
});

describe(`${SEQUENCES} random lives on the time-skipping server (LIVES_SEED=${SEED})`, {
  timeout: SEQUENCES * 20_000 + 300_000,
}, () => {
  let world: World;
  let stop: () => Promise<void>;
  const begin = async (): Promise<void> => {
    world = await startWorld({ timeSkipping: true });
    stop = await world.startWorkers();
  };
  const end = async (): Promise<void> => {
    await stop?.();
    await world?.close();
  };
  before(begin);
  after(end);

  const now = async (): Promise<number> => (await world.env?.currentTimeMs()) ?? 0;
  /** Fails once those under way have ended: a server that is taken away under them is no fault of theirs. */
  async function each(lives: readonly Life[], run: (one: Life) => Promise<unknown>): Promise<void> {
    const left = [...lives];
    const take = async (): Promise<void> => {
      try {
        for (let one = left.pop(); one; one = left.pop()) await run(one);
      } catch (error) {
        left.length = 0;
        throw error;
      }
    };
    const ended = await Promise.allSettled(Array.from({ length: ASKED_AT_ONCE }, take));
    for (const one of ended) if (one.status === 'rejected') throw one.reason;
  }

  async function pass(lives: readonly Life[], span: number): Promise<void> {
    for (const one of lives) one.story.push(`${span / MINUTE} min pass`);
    if (span > 0) await inTime(world.env?.sleep(span));
    await each(lives, (one) => one.rest());
  }

  async function play(lives: readonly Life[], passing: readonly number[]): Promise<void> {
    const begin = await now();
    await each(lives, (one) => one.open(begin));
    await each(lives, (one) => one.rest());
    for (const [at, span] of passing.entries()) {
      for (const one of lives) one.prepare(at);
      await world.faults(...lives.flatMap(({ rules }) => rules));
      const time = await now();
      await each(lives, (one) => one.step(at, time));
      await each(lives, (one) => one.rest());
      // What is late has landed, and what it met was seen or not: within the quarter of an hour that it may take.
      await delay(LANDING_MS + 100);
      await pass(lives, span);
    }
  }

  /** WeChat Pay answers well from now on; a person resumes what waits for one, and accepts a state that cannot be undone. */
  async function settle(lives: readonly Life[]): Promise<void> {
    for (const one of lives) Object.assign(one, { fault: undefined, blind: false });
    await world.faults();
    await pass(lives, 20 * MINUTE);
    for (const decision of ['resume', 'resume', 'accept'] as const) {
      await each(lives, async (one) => {
        if (await one.isOver()) return;
        await one.send('verify', {});
        await one.rest();
        const { sync, diverged, block } = await world.client.status(one.id);
        if (sync === 'SYNCED') return;
        if (decision === 'accept')
          assert.deepEqual(
            [sync, diverged.includes('policy_state')],
            ['DIVERGED', true],
            one.told(`all but a state is pushed by resume: ${JSON.stringify(block)}`),
          );
        await one.send(decision, {});
        await one.rest();
      });
      await pass(lives, 20 * MINUTE);
    }
  }

  const statusOf = (one: Life): Promise<Status> => world.client.status(one.id);

  /** In step, by what the engine says and what WeChat Pay holds. */
  async function assertInStep(one: Life): Promise<void> {
    const { sync, revision, synced_revision } = await statusOf(one);
    assert.deepEqual([sync, synced_revision], ['SYNCED', revision], one.told('not in step'));
    const [stored, held] = [await findPolicy(world.storage, world.mchid, one.number), await world.held(one.number)];
    const {
      support_renewal: _window,
      start_renewal_time: _start,
      end_renewal_time: _end,
      ...wanted
    } = stored?.record.policy ?? {};
    assert.deepEqual(differences(wanted, held ?? {}), [], one.told('WeChat Pay holds something else'));
  }

  async function assertShortRuns(one: Life): Promise<void> {
    for (let run: string | undefined, first = true; first || run; first = false) {
      const { events } = await world.temporal.workflow.getHandle(one.handle.workflowId, run).fetchHistory();
      assert.ok((events?.length ?? 0) <= MOST_EVENTS, one.told(`a run of ${events?.length} events`));
      run = events?.[0]?.workflowExecutionStartedEventAttributes?.continuedExecutionRunId || undefined;
    }
  }

  async function liveAll(plans: readonly LifePlan[], passing: readonly number[]): Promise<void> {
    const lives = plans.map((plan) => new Life(plan, world));
    await play(lives, passing);
    await settle(lives);
    await each(lives, async (one) => {
      if (await one.isOver()) return;
      await assertInStep(one);
      // The next message is taken, and reaches WeChat Pay.
      assert.equal((await one.send('amend', { pet_name: 'at last' }))?.outcome, 'accepted', one.told('deaf'));
      await one.rest();
    });
    await pass(lives, MINUTE);
    await each(lives, async (one) => {
      if (!(await one.isOver()))
        assert.equal((await world.held(one.number))?.pet_name, 'at last', one.told('not sent'));
      await one.send('cancel', {});
      if (!(await one.isOver())) await one.rest();
    });
    await pass(lives, MINUTE);
    await each(lives, async (one) => {
      const { policy_state: state } = (await world.held(one.number)) ?? {};
      if (state === INACTIVE || state === DECLINED) return;
      assert.fail(`${one.told(`in force after a surrender: ${state}`)}\n${await one.stands(await now())}`);
    });
    await pass(lives, 32 * DAY);
    await each(lives, async (one) => {
      assert.equal((await one.handle.describe()).status.name, 'COMPLETED', one.told('does not end'));
      await assertShortRuns(one);
    });
  }

  it('bring what was accepted last to WeChat Pay, take the next message, leave no surrendered policy in force, end, and no run passes 600 events', async (context) => {
    const plans = fc.sample(life, { seed: SEED, numRuns: SEQUENCES });
    const passing = fc.sample(spans, { seed: SEED, numRuns: Math.ceil(SEQUENCES / AT_ONCE) });
    for (const [batch, between] of passing.entries()) {
      const some = plans.slice(batch * AT_ONCE, (batch + 1) * AT_ONCE);
      for (let tries = 1; ; tries++)
        try {
          refusedDecisions.length = 0;
          await liveAll(some, between).catch((error) => {
            expectDecisionsTaken();
            throw error;
          });
          break;
        } catch (error) {
          if (!(error instanceof ServerAtFault) || tries === CLOCKS) throw error;
          context.diagnostic(`batch ${batch}: ${error.message}; once more, on another server`);
          await end();
          await begin();
        }
    }
  });
});
