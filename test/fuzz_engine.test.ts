// Random lives: messages, due times, calls that end in every way, attempts that land late, strangers, unreadable names.
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
import { newStanding, Reconciler, URGENCY } from '../workflows/reconciler.ts';
import { DAY, recordOf } from './fixtures.ts';

const SEQUENCES = Number(process.env.ENGINE_SEQUENCES ?? 300);
const SEED = Number(process.env.ENGINE_SEED ?? Math.floor(Math.random() * 2 ** 31));
const NOW = Date.parse('2026-01-01T00:00:00Z');
const MINUTE = 60_000;

type Ending = 'confirmed' | 'refused' | 'not-taken' | 'landed' | 'lost' | 'late';

/** One policy, its engine without Temporal, and WeChat Pay by the official table. */
class Stage {
  now = NOW;
  readonly reconciler: Reconciler;
  #remote: PolicyFields;
  /** Attempts on their way, each lands within a quarter of an hour. */
  #late: { fields: PolicyFields; at: number }[] = [];
  /** Answers have the names sealed for a key that nobody has. */
  blind = false;
  readonly illegal: string[] = [];

  constructor(changes: Record<string, unknown>, settings: Record<string, unknown>) {
    const record = parse(recordSchema, recordOf(changes, { ...settings, extra_fields: ['pet_color'] }, { now: NOW }));
    this.reconciler = new Reconciler(openedLife(record, NOW), newStanding(NOW));
    this.#remote = { ...this.reconciler.held };
  }

  get remote(): PolicyFields {
    return this.#remote;
  }

  pass(span: number): void {
    this.now += span;
    for (const { fields } of this.#late.filter(({ at }) => at <= this.now)) this.#land(fields);
    this.#late = this.#late.filter(({ at }) => at > this.now);
    const due = settleDue(this.reconciler.life, this.now);
    if (due.applied.length > 0) this.reconciler.change(due.life, URGENCY.due, this.now);
  }

  /** A stranger changes what WeChat Pay holds. */
  drift(fields: PolicyFields): void {
    this.#remote = { ...this.#remote, ...fields };
  }

  send(name: CommandName, input: Record<string, unknown>): void {
    const { reconciler, now } = this;
    this.#asked(() => {
      const life = obey(reconciler.life, name, input, now, (field) => reconciler.mayHold(field));
      if (life !== reconciler.life) reconciler.change(life, URGENCY.user, now);
    });
  }

  decide(name: 'accept' | 'resume'): void {
    this.#asked(() => this.reconciler[name](this.now));
  }

  /** What the rules refuse changes nothing; anything else that is thrown is a bug. */
  #asked(run: () => void): void {
    try {
      run();
    } catch (error) {
      assert.ok(error instanceof RuleViolation, String(error));
    }
  }

  /** Makes the call that is next, and lets it end so. */
  call(ending: Ending): string {
    const { reconciler, now } = this;
    const action = reconciler.next();
    if (action.call === 'query' || action.call === 'verify') this.#answer();
    if (action.call !== 'push') return action.call;
    const { fields } = action;
    if (ending === 'refused' || !this.#isLegal(fields))
      reconciler.refuse({ status: 400, code: 'PARAM_ERROR', message: 'no' }, fields, now);
    else if (ending === 'confirmed' || ending === 'not-taken') {
      const { address: _not, ...taken } = fields;
      this.drift(ending === 'confirmed' ? fields : taken);
      this.#answer(fields);
    } else {
      if (ending === 'landed') this.drift(fields);
      if (ending === 'late') this.#late.push({ fields, at: now + 14 * MINUTE });
      reconciler.unknown(fields, now);
    }
    return action.call;
  }

  #answer(sent?: PolicyFields): void {
    const { insured_name_list, ...rest } = this.#remote;
    const policy = this.blind ? rest : { ...rest, insured_name_list };
    const unreadable = this.blind ? ['insured_name_list'] : [];
    this.reconciler.confirm({ policy: policy as PolicyFields, unreadable }, sent, this.now);
  }

  /** Whether WeChat Pay takes it. What it refuses is a fault of the engine's unless the state has changed behind its back. */
  #isLegal({ policy_state: to }: PolicyFields): boolean {
    const from = this.#remote.policy_state as PolicyState;
    if (to === undefined || isTransition(from, to)) return true;
    if (this.reconciler.standing.confirmed?.policy_state === from) this.illegal.push(`${from} to ${to}`);
    return false;
  }

  /** WeChat Pay refuses a late attempt that is illegal by now. */
  #land(fields: PolicyFields): void {
    const { policy_state: to } = fields;
    if (to === undefined || isTransition(this.#remote.policy_state, to)) this.drift(fields);
  }

  /** Lets every call succeed until nothing is left to send and no attempt may land. */
  settle(): void {
    for (let calls = 0; calls < 30; calls++) {
      this.pass(16 * MINUTE);
      const quiet = this.call('confirmed') === 'verify' && this.reconciler.next().call === 'verify';
      if (quiet && this.reconciler.landsBy === undefined) return;
    }
    assert.fail(`does not come to rest: ${JSON.stringify(this.reconciler.next())}`);
  }
}

const days = fc.integer({ min: 1, max: 500 });
const message = fc.record({
  send: fc.constantFrom<CommandName>('approve', 'decline', 'cancel', 'withdraw', 'amend', 'renew', 'reinstate'),
  days,
});
const step = fc.oneof(
  { weight: 3, arbitrary: message },
  { weight: 1, arbitrary: fc.record({ decide: fc.constantFrom('accept' as const, 'resume' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      call: fc.constantFrom<Ending>('confirmed', 'confirmed', 'refused', 'not-taken', 'landed', 'lost', 'late'),
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
        { insured_name_list: ['a stranger'] },
        { policy_state: INACTIVE },
        { policy_state: APPROVED },
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ blind: fc.boolean() }) },
);

const sequences = fc.record({
  changes: fc.record({ policy_state: fc.constantFrom(ISSUING, APPROVED), support_renewal: fc.boolean() }),
  settings: fc.record({
    adopt: fc.constantFrom('push', 'remote', 'report'),
    verification: fc.record({
      on_drift: fc.constantFrom('heal', 'report'),
      on_state_drift: fc.constantFrom('heal', 'report'),
    }),
  }),
  steps: fc.array(step, { maxLength: 30 }),
});

function inputFor(name: CommandName, number: number, now: number): Record<string, unknown> {
  const later = wireTime(now + number * DAY);
  const amendments = [
    { address: `road ${number}` },
    { insured_name_list: [`name ${number}`] },
    { support_renewal: number % 2 === 0 },
    { policy_periods: [number] },
    { pet_color: number % 2 ? 'brown' : null },
    { coverage_term_type: 'COVERAGE_TERM_TYPE_LIFETIME' },
    { expired_time: later },
  ];
  const inputs: Record<CommandName, Record<string, unknown>> = {
    approve: { policy_code: `C${number}` },
    decline: { reason: 'r' },
    cancel: number % 3 ? {} : { at: later },
    withdraw: {},
    amend: amendments[number % amendments.length] ?? {},
    renew: number % 5 ? { expired_time: later, window: { start_renewal_time: later } } : { as: 'NEXT1' },
    reinstate: { reason: 'r', ...(number % 2 && { expired_time: later }) },
  };
  return inputs[name];
}

function play(stage: Stage, steps: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[]): void {
  for (const one of steps) {
    if ('send' in one) stage.send(one.send, inputFor(one.send, one.days, stage.now));
    else if ('decide' in one) stage.decide(one.decide);
    else if ('call' in one) stage.call(one.call);
    else if ('pass' in one) stage.pass(one.pass);
    else if ('drift' in one) stage.drift(one.drift);
    else stage.blind = one.blind;
    assert.deepEqual(stage.illegal, []);
  }
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
  it('brings what was accepted last to WeChat Pay, unless it tells why not; resume and accept clear that', () => {
    fc.assert(
      fc.property(sequences, ({ changes, settings, steps }) => {
        const stage = new Stage(changes, settings);
        const { reconciler } = stage;
        play(stage, steps);
        rest(stage);
        if (reconciler.sync !== 'SYNCED') {
          assert.ok(['BLOCKED', 'DIVERGED'].includes(reconciler.sync), reconciler.sync);
          assert.ok(reconciler.stateDiverged, 'all but a state is pushed by resume');
          reconciler.accept(stage.now);
          const action = reconciler.next();
          const { policy_code: _goes, ...left } = 'fields' in action ? action.fields : {};
          const own = new Set([...reconciler.standing.changed, ...WINDOW]);
          assert.deepEqual(
            Object.keys(left).filter((field) => !own.has(field)),
            [],
            'but changes on their way',
          );
          stage.settle();
        }
        assert.equal(reconciler.sync, 'SYNCED');
        assert.deepEqual(differences(reconciler.held, stage.remote), []);
        assert.equal(reconciler.standing.synced_revision, reconciler.standing.revision);
      }),
      parameters,
    );
  });

  it('leaves no surrendered policy in force, though attempts of before land late, and ends every life', () => {
    fc.assert(
      fc.property(sequences, ({ changes, settings, steps }) => {
        const stage = new Stage(changes, { ...settings, adopt: 'push' });
        const { reconciler } = stage;
        play(
          stage,
          steps.filter((one) => !('drift' in one && 'policy_state' in one.drift)),
        );
        stage.send('cancel', {});
        stage.settle();
        if (reconciler.held.policy_state === INACTIVE && reconciler.sync !== 'BLOCKED')
          assert.equal(stage.remote.policy_state, INACTIVE);
        stage.pass(1500 * DAY);
        rest(stage);
        const { policy_state } = stage.remote;
        if (policy_state === DECLINED) return;
        assert.equal(policy_state, INACTIVE);
        assert.deepEqual(
          dueTimes(reconciler.life).map(({ what }) => what),
          ['end'],
        );
        assert.equal(reconciler.sync, 'SYNCED');
      }),
      parameters,
    );
  });
});
