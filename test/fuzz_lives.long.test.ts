// Random lives on the time-skipping server: the workflow, its workers, MongoDB and the strict sandbox over HTTP.
// LIVES_SEQUENCES sets how many, LIVES_SEED which; both are printed. npm test gives a file 15 minutes: 500 go in parts, by several seeds.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { PolicyEnded, PolicyRefused, Unavailable } from '../client/errors.ts';
import { PolicyClient } from '../client/policy_client.ts';
import type { CommandName } from '../policy/commands.ts';
import { differences } from '../policy/difference.ts';
import { type PolicyFields, workflowIdOf } from '../policy/record.ts';
import { APPROVED, DECLINED, INACTIVE, ISSUING } from '../policy/state.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import { findPolicy } from '../storage/policies.ts';
import type { Answer, Status } from '../workflows/messages.ts';
import { DAY, recordOf, uniqueNumber } from './fixtures.ts';
import { inputFor, message } from './random_messages.ts';
import { startWorld, type World } from './world.ts';

const SEQUENCES = Number(process.env.LIVES_SEQUENCES ?? 20);
const SEED = Number(process.env.LIVES_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** Lives that go on at the same time: the server has one clock. */
const AT_ONCE = 20;
const MINUTE = 60_000;
/** A late attempt lands so long after its connection was cut, by the clock on the wall; the server's stands still meanwhile. */
const LANDING_MS = 400;
const MOST_EVENTS = 600;
const REST_MS = 60_000;
/** How long the clock may take to pass a time, and on how many servers a batch is tried where it does not. */
const CLOCK_MS = 90_000;
const CLOCKS = 3;
const ANSWER_MS = 10_000;
const TRIES = 4;
const ASKED_AT_ONCE = 6;

/** How a PATCH, or a GET, ends where not well. */
const ENDINGS: Record<string, FaultRule['do']> = {
  refused: { status: 400, code: 'PARAM_ERROR' },
  '403': { status: 403, code: 'RULE_LIMIT' },
  'unsigned 400': { status: 400, code: 'PARAM_ERROR', unsigned: true },
  '429': { status: 429, code: 'FREQUENCY_LIMITED' },
  '429 with Retry-After': { status: 429, code: 'FREQUENCY_LIMITED', retry_after: 15 },
  '500': { status: 500, code: 'SYSTEM_ERROR' },
  '500 after the effect': { status: 500, code: 'SYSTEM_ERROR', effect: true },
  lost: { drop: 'before' },
  landed: { drop: 'after' },
  late: { drop: 'late', delay_ms: LANDING_MS },
  forged: { forge: 'signature' },
  '202': { status: 202, body: '{}', signed: true },
};

const step = fc.oneof(
  { weight: 6, arbitrary: message },
  {
    weight: 1,
    arbitrary: fc.record({ decide: fc.constantFrom('accept' as const, 'resume' as const, 'verify' as const) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      drift: fc.constantFrom<PolicyFields>(
        { address: 'a stranger' },
        { insured_name_list: ['a stranger'] },
        { policy_state: INACTIVE },
        { policy_state: APPROVED },
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ blind: fc.boolean() }) },
);
const life = fc.record({
  changes: fc.record({ policy_state: fc.constantFrom(ISSUING, APPROVED), support_renewal: fc.boolean() }),
  settings: fc.record({
    adopt: fc.constantFrom('push' as const, 'remote' as const, 'report' as const),
    upload: fc.option(fc.constant({ appid: 'wx1', openid: 'o1' }), { freq: 5, nil: undefined }),
    verification: fc.record({
      every: fc.constant('60d'),
      on_drift: fc.constantFrom('heal' as const, 'report' as const),
      on_state_drift: fc.constantFrom('heal' as const, 'report' as const),
    }),
  }),
  steps: fc.array(
    fc.record({
      act: step,
      ending: fc.option(fc.constantFrom(...Object.keys(ENDINGS)), { freq: 2, nil: undefined }),
      of: fc.constantFrom('PATCH' as const, 'PATCH' as const, 'GET' as const),
    }),
    { minLength: 6, maxLength: 12, size: 'max' },
  ),
});
type LifePlan = typeof life extends fc.Arbitrary<infer T> ? T : never;
/** What passes for all lives between their steps. */
const spans = fc.array(fc.constantFrom(0, MINUTE, 5 * MINUTE, 20 * MINUTE, DAY, 20 * DAY, 100 * DAY), {
  minLength: 12,
  maxLength: 12,
});

class Life {
  readonly number = uniqueNumber('F');
  readonly plan: LifePlan;
  readonly #world: World;
  readonly #client: PolicyClient;
  blind = false;
  /** Of the next call of a kind. */
  fault: FaultRule | undefined;
  /** What was accepted last, of what no other decision touches. */
  pet: unknown;
  /** What came to it, for whoever reads of a failure. */
  readonly story: string[] = [];

  constructor(plan: LifePlan, world: World) {
    this.plan = plan;
    this.#world = world;
    this.#client = new PolicyClient(world.temporal, { timeout: ANSWER_MS });
  }

  get id() {
    return { mchid: this.#world.mchid, out_insurance_no: this.number };
  }

  get handle() {
    return this.#world.temporal.workflow.getHandle(workflowIdOf(this.#world.mchid, this.number));
  }

  get rules(): FaultRule[] {
    const match = { out_insurance_no: this.number };
    const unreadable: FaultRule = { match, do: { names: 'unreadable' } };
    return [...(this.fault ? [this.fault] : []), ...(this.blind ? [unreadable] : [])];
  }

  async open(now: number): Promise<void> {
    const { changes, settings } = this.plan;
    // An upload asks for these.
    const policy = {
      out_insurance_no: this.number,
      insurance_company_code: 'SANDBOX',
      free_insurance: false,
      ...changes,
    };
    const record = recordOf(policy, { ...settings, mchid: this.#world.mchid }, { now });
    if (!settings.upload) await this.#world.put({ ...record.policy });
    await this.#asked(() => this.#client.openPolicy(record));
  }

  /**
   * Asks again where nobody answers: this server loses the task of a message that comes while another is just being completed.
   */
  async #asked<T>(ask: () => Promise<T>, tries = TRIES): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      if (error instanceof Unavailable && tries > 1) return this.#asked(ask, tries - 1);
      throw error;
    }
  }

  /** What a message is answered; undefined where a rule, or the end of the policy, refuses it. */
  async send(name: CommandName | 'accept' | 'resume' | 'verify', input: object): Promise<Answer | undefined> {
    const told = `${name} ${JSON.stringify(input)}`;
    const message = { event_id: randomUUID(), ...input };
    const client = this.#client as unknown as Record<string, (id: object, input: object) => Promise<Answer>>;
    try {
      const answer = await this.#asked(async () => client[name]?.(this.id, message));
      this.story.push(`${told}: ${answer?.outcome}`);
      return answer;
    } catch (error) {
      this.story.push(`${told}: ${String(error)}`);
      if (error instanceof PolicyRefused || error instanceof PolicyEnded) return undefined;
      // WeChat Pay refuses to tell.
      if (error instanceof Unavailable && name === 'verify') return undefined;
      throw new Error(this.told(String(error)));
    }
  }

  /** A message, or a stranger's change, with the fault that the next call of its kind has. */
  async step(at: number, now: number): Promise<void> {
    const one = this.plan.steps[at];
    if (!one || (await this.isOver())) return;
    const { act } = one;
    if ('send' in act) await this.send(act.send, inputFor(act.send, act.days, now));
    else if ('decide' in act) await this.send(act.decide, {});
    else if ('drift' in act) await this.drift(act.drift);
  }

  async drift(fields: PolicyFields): Promise<void> {
    this.story.push(`drift ${JSON.stringify(fields)}`);
    if (await this.#world.held(this.number)) await this.#world.patch(this.number, fields);
  }

  prepare(at: number): void {
    const one = this.plan.steps[at];
    this.fault = undefined;
    if (one && 'blind' in one.act) this.blind = one.act.blind;
    const action = one?.ending === undefined ? undefined : ENDINGS[one.ending];
    if (!one || !action) return;
    this.story.push(`the next ${one.of}: ${one.ending}`);
    this.fault = { match: { out_insurance_no: this.number, method: one.of }, times: 1, do: action };
  }

  async isOver(): Promise<boolean> {
    return (await this.handle.describe()).status.name !== 'RUNNING';
  }

  /**
   * Until no call is under way but those that wait for their time. This server loses what comes while a workflow task or
   * an attempt is just ending; the real one does not.
   */
  async rest(): Promise<void> {
    let quiet = 0;
    for (const from = Date.now(); quiet < 2; await delay(40)) {
      const { raw, status } = await this.handle.describe();
      const waits = (raw.pendingActivities ?? []).every(({ attempt }) => (attempt ?? 0) > 1);
      quiet = status.name !== 'RUNNING' || (waits && !raw.pendingWorkflowTask) ? quiet + 1 : 0;
      if (Date.now() - from > REST_MS)
        throw new Error(this.told(`does not rest: ${JSON.stringify(raw.pendingActivities)}`));
    }
  }

  told(what: string): string {
    return `${this.number}: ${what}\n${JSON.stringify({ changes: this.plan.changes, settings: this.plan.settings })}\n${this.story.join('\n')}`;
  }
}

/**
 * The time-skipping server did not come to a time. Once a run of these lives stood still without load until it was given up; that the
 * clock was why is not known, and its seed passed afterwards.
 */
class ClockStopped extends Error {}

async function inTime(slept: Promise<void> | undefined): Promise<void> {
  const late = new AbortController();
  const stopped = delay(CLOCK_MS, undefined, { signal: late.signal }).then(() => {
    throw new ClockStopped(`the server's clock has not passed a time in ${CLOCK_MS} ms`);
  });
  await Promise.race([slept, stopped]).finally(() => late.abort());
}

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
  async function each(lives: readonly Life[], run: (one: Life) => Promise<unknown>): Promise<void> {
    const left = [...lives];
    const take = async (): Promise<void> => {
      for (let one = left.pop(); one; one = left.pop()) await run(one);
    };
    await Promise.all(Array.from({ length: ASKED_AT_ONCE }, take));
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
    });
    await pass(lives, MINUTE);
    await each(lives, async (one) => {
      if (!(await one.isOver()))
        assert.equal((await world.held(one.number))?.pet_name, 'at last', one.told('not sent'));
      await one.send('cancel', {});
    });
    await pass(lives, MINUTE);
    await each(lives, async (one) => {
      const { policy_state: state } = (await world.held(one.number)) ?? {};
      assert.ok(state === INACTIVE || state === DECLINED, one.told(`in force after a surrender: ${state}`));
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
          await liveAll(some, between);
          break;
        } catch (error) {
          if (!(error instanceof ClockStopped) || tries === CLOCKS) throw error;
          context.diagnostic(`batch ${batch}: ${error.message}; once more, on another server`);
          await end();
          await begin();
        }
    }
  });
});
