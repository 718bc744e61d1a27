// Random lives: messages, due times, calls that end in every way, attempts that land late, strangers, unreadable names,
// uploads, resets.
// ENGINE_SEQUENCES sets how many (50000 takes minutes), ENGINE_SEED which; both are printed.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { CommandName } from '../policy/commands.ts';
import { differences } from '../policy/difference.ts';
import { dueTimes, offersNoRenewal } from '../policy/life.ts';
import type { PolicyFields } from '../policy/record.ts';
import { APPROVED, DECLINED, INACTIVE, ISSUING } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { accept } from '../workflows/reconciler/accept.ts';
import { DAY } from './fixtures.ts';
import { type Ending, MINUTE, NOW, Stage } from './fuzz_engine_stage.ts';
import { inputFor, message } from './random_messages.ts';

const SEQUENCES = Number(process.env.ENGINE_SEQUENCES ?? 300);
const SEED = Number(process.env.ENGINE_SEED ?? Math.floor(Math.random() * 2 ** 31));

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
  { weight: 1, arbitrary: fc.constant({ ask: true }) },
);
const reset = fc.record({ reset: fc.integer({ min: 0, max: 99 }).map((share) => share / 100) });

const LIFETIME = { coverage_term_type: 'COVERAGE_TERM_TYPE_LIFETIME' };
const WINDOW_GIVEN = { start_renewal_time: wireTime(NOW + 310 * DAY), end_renewal_time: wireTime(NOW + 380 * DAY) };

const sequences = fc.record({
  changes: fc
    .record({
      policy_state: fc.constantFrom(ISSUING, APPROVED, INACTIVE),
      support_renewal: fc.boolean(),
      term: fc.constantFrom({}, LIFETIME, WINDOW_GIVEN, { start_renewal_time: WINDOW_GIVEN.start_renewal_time }),
    })
    .map(({ term, ...changes }) => ({ ...changes, ...term })),
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

/** What a stranger writes while a change of ours is on its way, and what has WeChat Pay asked before it leaves. */
const races = fc.record({
  drift: fc.constantFrom<PolicyFields>({}, { address: 'a stranger' }, { policy_state: APPROVED }),
  asked: fc.constantFrom('verify' as const, 'unhold' as const, 'lost' as const, 'late' as const),
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
    else if ('ask' in one) stage.ask();
    else stage.blind = one.blind;
    assert.deepEqual(stage.illegal, []);
    const { life, sync } = stage.position;
    assert.equal(sync === 'HELD', life.hold !== undefined);
    if (life.observed)
      assert.ok(!['push', 'upload'].includes(stage.position.next().call), 'an observed policy is written');
    if (life.hold) assert.deepEqual([stage.position.next().call, dueTimes(life)], ['rest', []]);
    if (stage.position.sync === 'SYNCED' && !stage.stale) assert.deepEqual(lacking(stage), [], 'SYNCED, but');
    const { revision, synced_revision, changed } = stage.position.standing;
    if (synced_revision === revision && !stage.stale)
      assert.deepEqual(
        lacking(stage).filter((field) => changed.includes(field)),
        [],
        'called synced, but',
      );
  }
}

/** Where WeChat Pay holds otherwise, but for what nobody can read, and a stranger's illegal window that accept left as it is. */
function lacking({ position: { held, standing }, remote }: Stage): string[] {
  const { accepted = [], reported, unreadable, absence_accepted } = standing;
  if (absence_accepted) return [];
  const fields = differences(held, remote, unreadable).map(({ field }) => field);
  return fields.filter((field) => !(accepted.includes(field) && field in reported));
}

/** WeChat Pay answers well from now on, nothing is held any more, and a person resumes what waits for one. */
function rest(stage: Stage): void {
  stage.blind = false;
  stage.send('unhold', {});
  stage.send('observe', { on: false });
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

  it('sends what was accepted, though a stranger writes meanwhile, and whoever asks first', () => {
    fc.assert(
      fc.property(sequences, races, ({ changes, settings, steps }, { drift, asked }) => {
        const stage = new Stage(changes, settings);
        play(
          stage,
          steps.filter((one) => !('reset' in one)),
        );
        rest(stage);
        const { position } = stage;
        const { policy_state } = position.held;
        if (position.sync !== 'SYNCED' || position.standing.absent || policy_state === DECLINED) return;
        if (asked === 'unhold') stage.send('hold', { reason: 'r' });
        stage.send('amend', { address: 'accepted' });
        stage.send('cancel', {});
        // Where it is INACTIVE already, that is what a stranger could undo: no change of ours is on its way.
        stage.drift(policy_state === INACTIVE && 'policy_state' in drift ? {} : drift);
        if (asked === 'verify') stage.ask();
        else if (asked === 'unhold') stage.send('unhold', {});
        else stage.call(asked);
        stage.settle();
        assert.deepEqual([position.sync, lacking(stage)], ['SYNCED', []]);
        assert.deepEqual([stage.remote.policy_state, stage.remote.address], [INACTIVE, 'accepted']);
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
        stage.send('unhold', {});
        stage.send('observe', { on: false });
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

  it('has every life that is INACTIVE end by itself, though nobody surrenders it', () => {
    fc.assert(
      fc.property(sequences, ({ changes, settings, steps }) => {
        const stage = new Stage(changes, settings);
        play(stage, steps);
        rest(stage);
        stage.pass(1500 * DAY);
        rest(stage);
        const { position } = stage;
        if (position.held.policy_state !== INACTIVE || position.stateDiverged) return;
        assert.deepEqual(
          dueTimes(position.life).map(({ what }) => what),
          ['end'],
        );
      }),
      parameters,
    );
  });

  it('keeps a surrender to come until it comes, a message takes it back, or cover ends', () => {
    const dropping: readonly unknown[] = ['withdraw', 'renew', 'unhold', 'reinstate'];
    fc.assert(
      fc.property(sequences, ({ changes, settings, steps }) => {
        const stage = new Stage(changes, settings);
        for (const one of steps.filter((step) => !('reset' in step))) {
          const { cancellation } = stage.position.life;
          play(stage, [one]);
          const { policy_state } = stage.position.held;
          if (!cancellation || (policy_state !== ISSUING && policy_state !== APPROVED)) continue;
          const sent = 'call' in one ? one.meanwhile?.send : 'send' in one && one.send;
          assert.ok(stage.position.life.cancellation || dropping.includes(sent), 'it is gone');
        }
      }),
      parameters,
    );
  });

  it('offers no renewal of what was surrendered or declined, where nobody else writes', () => {
    fc.assert(
      fc.property(sequences, ({ changes, settings, steps }) => {
        const stage = new Stage(changes, settings);
        for (const one of steps.filter((step) => !('drift' in step || 'decide' in step || 'reset' in step))) {
          play(stage, [one]);
          const { life, held } = stage.position;
          if (offersNoRenewal(life)) assert.ok(!held.support_renewal || !held.start_renewal_time, 'it is offered');
        }
      }),
      parameters,
    );
  });
});
