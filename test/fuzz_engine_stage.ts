import assert from 'node:assert/strict';
import { type CommandName, obey } from '../policy/commands.ts';
import { openedLife, settleDue } from '../policy/life.ts';
import { type PolicyFields, recordSchema } from '../policy/record.ts';
import { isTransition, type PolicyState } from '../policy/state.ts';
import { parse, RuleViolation } from '../policy/violation.ts';
import { accept } from '../workflows/reconciler/accept.ts';
import { takeAnswer, takeRefusal, takeUnknown, takeWait } from '../workflows/reconciler/answers.ts';
import { behind, change, resume } from '../workflows/reconciler/desired.ts';
import { type Action, Position } from '../workflows/reconciler/position.ts';
import { settle } from '../workflows/reconciler/settled.ts';
import { newStanding, URGENCY } from '../workflows/reconciler/standing.ts';
import { recordOf } from './fixtures.ts';

export const NOW = Date.parse('2026-01-01T00:00:00Z');
export const MINUTE = 60_000;

export type Ending = 'confirmed' | 'refused' | 'not-taken' | 'landed' | 'lost' | 'late' | 'no-effect';
/** What `Retry-After` asks for. */
export const RETRY_AFTER = 5 * MINUTE;
export const UNKNOWN = { status: 404, code: 'NOT_FOUND', message: 'no such policy' };
export const REFUSED = { status: 400, code: 'PARAM_ERROR', message: 'no' };

/** One policy, its engine without Temporal, and WeChat Pay by the official table. */
export class Stage {
  now = NOW;
  position: Position;
  /** Undefined where WeChat Pay knows no such policy. */
  #remote: PolicyFields | undefined;
  /** Attempts on their way, each lands within a quarter of an hour. */
  #late: { call: 'push' | 'upload'; fields: PolicyFields; at: number }[] = [];
  /** The engine as it was: what a reset of Temporal's brings back. */
  #past: Pick<Position, 'life' | 'standing'>[] = [];
  /** Some of what was done is undone, and what was on its way is forgotten. */
  wasReset = false;
  /** Answers have the names sealed for a key that nobody has. */
  blind = false;
  /** WeChat Pay's record has changed behind the engine's back since its last answer. */
  stale = false;
  readonly illegal: string[] = [];

  constructor(changes: Record<string, unknown>, settings: Record<string, unknown>) {
    const record = parse(recordSchema, recordOf(changes, { ...settings, extra_fields: ['pet_color'] }, { now: NOW }));
    this.position = new Position(openedLife(record, NOW), newStanding(NOW));
    this.#remote = record.upload ? undefined : { ...this.position.held };
  }

  get remote(): PolicyFields {
    return this.#remote ?? {};
  }

  /** What could be brought back from here on. */
  keep(): void {
    const { life, standing } = this.position;
    this.#past.push(structuredClone({ life, standing }));
  }

  /** An operator resets the workflow, and does not have its messages applied again. */
  reset(back: number): void {
    const { revision } = this.position.standing;
    const past = this.#past[Math.floor(back * this.#past.length)];
    if (!past) return;
    const { life, standing } = structuredClone(past);
    this.position = new Position(life, standing);
    // The record on file tells the run that it is behind.
    behind(this.position, revision, this.now);
    this.wasReset = true;
  }

  pass(span: number): void {
    this.now += span;
    for (const one of this.#late.filter(({ at }) => at <= this.now)) this.#land(one);
    this.#late = this.#late.filter(({ at }) => at > this.now);
    const due = settleDue(this.position.life, this.now);
    if (due.applied.length > 0) change(this.position, due.life, URGENCY.due, this.now);
  }

  /** A stranger changes what WeChat Pay holds. */
  drift(fields: PolicyFields): void {
    if (this.#remote) this.#remote = { ...this.#remote, ...fields };
    this.stale = true;
  }

  send(name: CommandName, input: Record<string, unknown>): void {
    const { position, now } = this;
    this.#asked(() => {
      const life = obey(position.life, name, input, now, (field) => position.mayHold(field));
      if (life !== position.life) change(position, life, URGENCY.user, now);
      // What has come due while it was held.
      if (name === 'unhold') this.pass(0);
    });
  }

  decide(name: 'accept' | 'resume'): void {
    this.#asked(() => ({ accept, resume })[name](this.position, this.now));
  }

  /** What the rules refuse changes nothing; anything else that is thrown is a bug. */
  #asked(run: () => void): void {
    try {
      run();
    } catch (error) {
      assert.ok(error instanceof RuleViolation, String(error));
    }
  }

  /** The GET of who asks, whatever call is next; refused on hold. */
  ask(): void {
    if (this.position.life.hold) return;
    this.position.hurried = false;
    this.#answer();
    settle(this.position);
  }

  /** Makes the call that is next, and lets it end so; what comes `meanwhile` finds it under way. */
  call(ending: Ending, meanwhile: () => void = () => {}): string {
    const { position, now } = this;
    const action = position.next();
    if (action.call === 'rest') return action.call;
    position.sending = 'fields' in action ? action.fields : undefined;
    position.hurried = false;
    meanwhile();
    position.sending = undefined;
    if (ending === 'no-effect') takeWait(position, { wait: RETRY_AFTER }, now);
    else if (!('fields' in action) && ending === 'refused') takeRefusal(position, REFUSED, undefined, now);
    else if (!('fields' in action)) this.#answer();
    else this.#write(action, ending);
    settle(position);
    return action.call;
  }

  #write({ call, fields }: Extract<Action, { fields: PolicyFields }>, ending: Ending): void {
    const { position, now } = this;
    const isLegal = call === 'push' ? this.#isLegal(fields) : this.#remote === undefined;
    if (call === 'push' && !this.#remote) takeRefusal(position, UNKNOWN, fields, now);
    else if (ending === 'refused' || !isLegal) takeRefusal(position, REFUSED, fields, now);
    else if (ending === 'confirmed' || ending === 'not-taken') {
      const { address: _not, ...taken } = fields;
      this.#take(ending === 'confirmed' ? fields : taken);
      this.#answer(fields);
    } else {
      if (ending === 'landed') this.#take(fields);
      if (ending === 'late') this.#late.push({ call, fields, at: now + 14 * MINUTE });
      takeUnknown(position, fields, now);
    }
  }

  /** An upload makes the policy there. */
  #take({ appid: _app, openid: _user, ...fields }: PolicyFields): void {
    this.#remote = { ...this.#remote, ...fields };
  }

  #answer(sent?: PolicyFields): void {
    if (!this.#remote) {
      takeRefusal(this.position, UNKNOWN, sent, this.now);
      return;
    }
    // A false is left out of an answer.
    const { insured_name_list, free_insurance, ...others } = this.#remote;
    const rest = { ...others, ...(free_insurance && { free_insurance }) };
    const policy = this.blind ? rest : { ...rest, insured_name_list };
    const unreadable = this.blind ? ['insured_name_list'] : [];
    takeAnswer(this.position, { policy: policy as PolicyFields, unreadable }, sent, this.now);
    this.stale = false;
  }

  /** Whether WeChat Pay takes it. What it refuses is a fault of the engine's unless the state has changed behind its back. */
  #isLegal({ policy_state: to }: PolicyFields): boolean {
    const from = this.#remote?.policy_state as PolicyState;
    if (to === undefined || isTransition(from, to)) return true;
    if (this.position.standing.confirmed?.policy_state === from) this.illegal.push(`${from} to ${to}`);
    return false;
  }

  /** WeChat Pay refuses a late attempt that is illegal by now. */
  #land({ call, fields }: { call: 'push' | 'upload'; fields: PolicyFields }): void {
    const { policy_state: to } = fields;
    if ((call === 'upload') !== (this.#remote === undefined)) return;
    this.stale = true;
    if (call === 'upload' || to === undefined || isTransition(this.#remote?.policy_state, to)) this.#take(fields);
  }

  /** Lets every call succeed until nothing is left to send and no attempt may land. */
  settle(): void {
    for (let calls = 0; calls < 30; calls++) {
      this.pass(16 * MINUTE);
      // A refused GET waits for a person, or for the next change, and says so.
      if (this.position.next().call === 'rest' && this.position.sync === 'BLOCKED') return;
      const quiet = this.call('confirmed') === 'verify' && this.position.next().call === 'verify';
      if (quiet && this.position.landsBy === undefined) return;
    }
    assert.fail(`does not come to rest: ${JSON.stringify(this.position.next())}`);
  }
}
