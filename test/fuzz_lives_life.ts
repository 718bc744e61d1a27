import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import proto from '@temporalio/proto';
import fc from 'fast-check';
import { PolicyEnded, PolicyRefused, Unavailable } from '../client/errors.ts';
import { PolicyClient } from '../client/policy_client.ts';
import type { CommandName } from '../policy/commands.ts';
import { type PolicyFields, workflowIdOf } from '../policy/record.ts';
import { APPROVED, INACTIVE, ISSUING } from '../policy/state.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import type { Answer } from '../workflows/messages.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import { refusedDecisions } from './quiet.ts';
import { change, inputFor } from './random_messages.ts';
import type { World } from './world.ts';

export const MINUTE = 60_000;
/** A late attempt lands so long after its connection was cut, by the clock on the wall; the server's stands still meanwhile. */
export const LANDING_MS = 400;
export const MOST_EVENTS = 600;
export const REST_MS = 60_000;
/** How long the clock may take to pass a time, and on how many servers a batch is tried where it does not. */
export const CLOCK_MS = 90_000;

const GIVEN_UP_MS = 30_000;
const CANCEL_REQUESTED = proto.temporal.api.enums.v1.PendingActivityState.PENDING_ACTIVITY_STATE_CANCEL_REQUESTED;

export const ANSWER_MS = 10_000;
export const TRIES = 4;

/** How a PATCH, or a GET, ends where not well. */
export const ENDINGS: Record<string, FaultRule['do']> = {
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

export const step = fc.oneof(
  // Not `hold` and `observe`: they give up calls that have just ended so often that this server loses a task in each batch.
  { weight: 6, arbitrary: change },
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
export const life = fc.record({
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
export type LifePlan = typeof life extends fc.Arbitrary<infer T> ? T : never;

export class Life {
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
      const givenUp = (raw.pendingActivities ?? []).some(({ state }) => state === CANCEL_REQUESTED);
      quiet = status.name !== 'RUNNING' || (waits && !givenUp && !raw.pendingWorkflowTask) ? quiet + 1 : 0;
      // An attempt has 20 s.
      if (givenUp && Date.now() - from > GIVEN_UP_MS)
        throw new ServerAtFault(
          `the server does not end a call of ${this.number} that was given up during its attempt`,
        );
      if (Date.now() - from > REST_MS)
        throw new Error(this.told(`does not rest: ${JSON.stringify(raw.pendingActivities)}`));
    }
  }

  /** What the engine and the server say of it, for whoever reads of a failure. */
  async stands(now: number): Promise<string> {
    const { raw } = await this.handle.describe();
    const { events = [] } = await this.handle.fetchHistory();
    const status = await this.#client.status(this.id).catch(String);
    const last = events?.slice(-20).map(({ eventId, eventType, eventTime }) => {
      const at = new Date(Number(eventTime?.seconds ?? 0) * 1000).toISOString();
      return `${eventId} ${at} ${proto.temporal.api.enums.v1.EventType[eventType ?? 0]}`;
    });
    const waits = JSON.stringify(raw.pendingActivities);
    return [new Date(now).toISOString(), JSON.stringify(status), waits, ...(last ?? [])].join('\n');
  }

  told(what: string): string {
    return `${this.number}: ${what}\n${JSON.stringify({ changes: this.plan.changes, settings: this.plan.settings })}\n${this.story.join('\n')}`;
  }
}

/**
 * What the time-skipping server does now and then, and the real one does not: its clock stands still (why is not known); it
 * never ends a call that is given up during its attempt, and then fails; it refuses all that a workflow task decides, and
 * tells nobody, where that gives up a call which has just ended.
 */
export class ServerAtFault extends Error {}

/** @throws ServerAtFault where decisions were refused of which a real server takes each, whatever fails after it */
export function expectDecisionsTaken(): void {
  const refused = refusedDecisions.splice(0).find((why) => why.includes('ACTIVITY_UNKNOWN'));
  if (refused !== undefined) throw new ServerAtFault(`the server refused what a workflow task decided: ${refused}`);
}

export async function inTime(slept: Promise<void> | undefined): Promise<void> {
  const late = new AbortController();
  const stopped = delay(CLOCK_MS, undefined, { signal: late.signal }).then(() => {
    throw new ServerAtFault(`the server's clock has not passed a time in ${CLOCK_MS} ms`);
  });
  await Promise.race([slept, stopped]).finally(() => late.abort());
}
