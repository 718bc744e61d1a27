// Random lives: messages, due times, calls that end in every way, attempts that land late, strangers, unreadable names,
// uploads, resets.
// ENGINE_SEQUENCES sets how many (50000 takes minutes), ENGINE_SEED which; both are printed.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type CommandName, obey } from '../policy/commands.ts';
import { differences } from '../policy/difference.ts';
import { dueTimes, openedLife, settleDue } from '../policy/life.ts';
import { type PolicyFields, recordSchema } from '../policy/record.ts';
import { APPROVED, DECLINED, INACTIVE, ISSUING, isTransition, type PolicyState } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { parse, RuleViolation } from '../policy/violation.ts';
import { accept } from '../workflows/reconciler/accept.ts';
import { takeAnswer, takeRefusal, takeUnknown, takeWait } from '../workflows/reconciler/answers.ts';
import { behind, change, resume } from '../workflows/reconciler/desired.ts';
import { type Action, Position } from '../workflows/reconciler/position.ts';
import { settle } from '../workflows/reconciler/settled.ts';
import { newStanding, URGENCY } from '../workflows/reconciler/standing.ts';
import { DAY, recordOf } from './fixtures.ts';
import { inputFor, message } from './random_messages.ts';

const SEQUENCES = Number(process.env.ENGINE_SEQUENCES ?? 300);
const SEED = Number(process.env.ENGINE_SEED ?? Math.floor(Math.random() * 2 ** 31));
const NOW = Date.parse('2026-01-01T00:00:00Z');
const MINUTE = 60_000;

type Ending = 'confirmed' | 'refused' | 'not-taken' | 'landed' | 'lost' | 'late' | 'no-effect';
/** What `Retry-After` asks for. */
const RETRY_AFTER = 5 * MINUTE;
const UNKNOWN = { status: 404, code: 'NOT_FOUND', message: 'no such policy' };
const REFUSED = { status: 400, code: 'PARAM_ERROR', message: 'no' };

/** One policy, its engine without Temporal, and WeChat Pay by the official table. */
class Stage {
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

  /** Makes the call that is next, and lets it end so; what comes `meanwhile` finds it under way. */
  call(ending: Ending, meanwhile: () => void = () => {}): string {
    const { position, now } = this;
    const action = position.next();
    if (action.call === 'rest') return action.call;
    position.sending = 'fields' in action ? action.fields : undefined;
    meanwhile();
    position.sending = undefined;
    if (ending === 'no-effect') takeWait(position, { wait: RETRY_AFTER }, now);
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
      const quiet = this.call('confirmed') === 'verify' && this.position.next().call === 'verify';
      if (quiet && this.position.landsBy === undefined) return;
    }
    assert.fail(`does not come to rest: ${JSON.stringify(this.position.next())}`);
  }
}

const step = fc.oneof(
  { weight: 3, arbitrary: message },
  { weight: 1, arbitrary: fc.record({ decide: fc.constantFrom('accept' as const, 'resume' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      call: fc.constantFrom<Ending>(
        ...(['confirmed', 'confirmed', 'refused', 'not-taken', 'landed', 'lost', 'late', 'no-effect'] as const),
      ),
      meanwhile: fc.option(message, { freq: 4, nil: undefined }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ pass: fc.constantFrom(0, MINUTE, 5 * MINUTE, 20 * MINUTE, DAY, 60 * DAY, 200 * DAY) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      drift: fc.constantFrom<PolicyFields>(
        { address: 'a stranger' },
        { support_renewal: false },
        { free_insurance: true },
        { start_renewal_time: wireTime(NOW + 300 * DAY), end_renewal_time: wireTime(NOW + 400 * DAY) },
        { insured_name_list: ['a stranger'] },
        { policy_state: INACTIVE },
        { policy_state: APPROVED },
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ blind: fc.boolean() }) },
);
const reset = fc.record({ reset: fc.integer({ min: 0, max: 99 }).map((share) => share / 100) });

const sequences = fc.record({
  changes: fc.record({ policy_state: fc.constantFrom(ISSUING, APPROVED), support_renewal: fc.boolean() }),
  settings: fc.record({
    adopt: fc.constantFrom('push', 'remote', 'report'),
    upload: fc.option(fc.constant({ appid: 'wx1', openid: 'o1' }), { freq: 5, nil: undefined }),
    verification: fc.record({
      on_drift: fc.constantFrom('heal', 'report'),
      on_state_drift: fc.constantFrom('heal', 'report'),
    }),
  }),
  steps: fc.array(fc.oneof({ weight: 24, arbitrary: step }, { weight: 1, arbitrary: reset }), { maxLength: 30 }),
});

type Step = (typeof sequences extends fc.Arbitrary<infer T> ? T : never)['steps'][number];

function play(stage: Stage, steps: readonly Step[]): void {
  const send = (one: { send: CommandName; days: number }): void =>
    stage.send(one.send, inputFor(one.send, one.days, stage.now));
  for (const one of steps) {
    stage.keep();
    if ('send' in one) send(one);
    else if ('decide' in one) stage.decide(one.decide);
    else if ('call' in one) stage.call(one.call, () => one.meanwhile && send(one.meanwhile));
    else if ('reset' in one) stage.reset(one.reset);
    else if ('pass' in one) stage.pass(one.pass);
    else if ('drift' in one) stage.drift(one.drift);
    else stage.blind = one.blind;
    assert.deepEqual(stage.illegal, []);
    if (stage.position.sync === 'SYNCED' && !stage.stale) assert.deepEqual(lacking(stage), [], 'SYNCED, but');
  }
}

/** Where WeChat Pay holds otherwise, but for what nobody can read, and a stranger's illegal window that accept left as it is. */
function lacking({ position: { held, standing }, remote }: Stage): string[] {
  const { accepted = [], reported, unreadable, absence_accepted } = standing;
  if (absence_accepted) return [];
  const fields = differences(held, remote, unreadable).map(({ field }) => field);
  return fields.filter((field) => !(accepted.includes(field) && field in reported));
}

/** WeChat Pay answers well from now on, and a person resumes what waits for one. */
function rest(stage: Stage): void {
  stage.blind = false;
  for (let tries = 0; tries < 2; tries++) {
    stage.decide('resume');
    stage.settle();
  }
}

/** They go together. */
const WINDOW = ['support_renewal', 'start_renewal_time', 'end_renewal_time'];
const parameters = { numRuns: SEQUENCES, seed: SEED };

describe(`the engine, over ${SEQUENCES} random lives (ENGINE_SEED=${SEED})`, () => {
  it('brings what was accepted last to WeChat Pay, unless it tells why not; resume and accept clear that, and SYNCED never lies', () => {
    fc.assert(
      fc.property(sequences, ({ changes, settings, steps }) => {
        const stage = new Stage(changes, settings);
        play(stage, steps);
        rest(stage);
        const { position } = stage;
        if (position.sync !== 'SYNCED') {
          assert.ok(['BLOCKED', 'DIVERGED'].includes(position.sync), position.sync);
          assert.ok(position.stateDiverged, 'all but a state is pushed by resume');
          accept(position, stage.now);
          const action = position.next();
          const { policy_code: _goes, ...left } = 'fields' in action ? action.fields : {};
          const own = new Set([...position.standing.changed, ...WINDOW]);
          assert.deepEqual(
            Object.keys(left).filter((field) => !own.has(field)),
            [],
            'but changes on their way',
          );
          stage.settle();
        }
        assert.equal(position.sync, 'SYNCED');
        assert.deepEqual(lacking(stage), []);
        assert.equal(position.standing.synced_revision, position.standing.revision);
      }),
      parameters,
    );
  });

  it('leaves no surrendered policy in force, though attempts of before land late, and ends every life', () => {
    fc.assert(
      fc.property(sequences, ({ changes, settings, steps }) => {
        const stage = new Stage(changes, { ...settings, adopt: 'push' });
        play(
          stage,
          steps.filter((one) => !('drift' in one && 'policy_state' in one.drift)),
        );
        const { position } = stage;
        stage.send('cancel', {});
        stage.settle();
        // What a reset made the engine forget of itself is as a stranger's: told, and not undone.
        const isTold = position.sync === 'BLOCKED' || (stage.wasReset && position.sync === 'DIVERGED');
        if (position.held.policy_state === INACTIVE && !isTold && !position.standing.absence_accepted)
          assert.equal(stage.remote.policy_state, INACTIVE);
        stage.pass(1500 * DAY);
        rest(stage);
        if (stage.wasReset && position.stateDiverged) {
          stage.decide('accept');
          stage.send('cancel', {});
          stage.pass(1500 * DAY);
          rest(stage);
        }
        const { policy_state } = stage.remote;
        if (policy_state === DECLINED || position.standing.absence_accepted) return;
        assert.equal(policy_state, INACTIVE);
        assert.deepEqual(
          dueTimes(position.life).map(({ what }) => what),
          ['end'],
        );
        assert.equal(position.sync, 'SYNCED');
      }),
      parameters,
    );
  });
});
