import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type CommandName, obey } from '../policy/commands.ts';
import { dueTimes, settleDue } from '../policy/life.ts';
import type { PolicyFields } from '../policy/record.ts';
import { APPROVED, DECLINED, INACTIVE, ISSUING } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { RuleViolation } from '../policy/violation.ts';
import { accept } from '../workflows/reconciler/accept.ts';
import { takeAnswer, takeRefusal, takeUnknown } from '../workflows/reconciler/answers.ts';
import { change, resume } from '../workflows/reconciler/desired.ts';
import type { Position } from '../workflows/reconciler/position.ts';
import { URGENCY } from '../workflows/reconciler/standing.ts';
import { DAY } from './fixtures.ts';
import { command, get, NOW, opened } from './reconciler_fixture.ts';

describe('accept', () => {
  function synced(changes: Record<string, unknown> = {}): Position {
    const position = opened({ extra_fields: ['pet_color'] }, { policy_state: APPROVED, ...changes });
    get(position, position.held);
    return position;
  }

  it('gives up a field that WeChat Pay never takes, and the policy is SYNCED', () => {
    const position = synced();
    const there = { ...position.held };
    command(position, 'amend', { pet_color: 'brown', address: 'B' });
    takeAnswer(
      position,
      { policy: { ...there, address: 'B' }, unreadable: [] },
      { pet_color: 'brown', address: 'B' },
      NOW,
    );
    assert.equal(position.standing.block?.code, 'NOT_TAKEN');
    assert.equal(accept(position, NOW), true);
    assert.ok(!('pet_color' in position.held));
    assert.equal(position.sync, 'SYNCED');
    assert.equal(position.standing.block, null);
  });

  it('leaves different what WeChat Pay never takes and the record cannot do without', () => {
    const position = synced({ policy_type: 'POLICY_TYPE_PET', address: undefined });
    const { pet_name, ...there } = { ...position.held };
    get(position, there as PolicyFields);
    const sent = { pet_name, address: 'B' };
    command(position, 'amend', { address: 'B' });
    assert.deepEqual(position.next(), { call: 'push', fields: sent });
    takeAnswer(position, { policy: there as PolicyFields, unreadable: [] }, sent, NOW);
    assert.equal(position.standing.block?.code, 'NOT_TAKEN');
    assert.equal(accept(position, NOW), true);
    assert.deepEqual([position.held.pet_name, position.held.address], [pet_name, undefined]);
    const rests = (): void => {
      assert.deepEqual([position.sync, position.next().call, position.diverged], ['SYNCED', 'verify', []]);
      assert.equal(position.standing.synced_revision, position.standing.revision);
    };
    rests();
    assert.equal(accept(position, NOW), false);
    assert.equal(resume(position, NOW), false);
    get(position, there as PolicyFields);
    rests();
    get(position, { ...there, pet_name: 'theirs' } as PolicyFields);
    assert.deepEqual(position.diverged, ['pet_name'], 'what a stranger makes of it is told');
    command(position, 'amend', { pet_name: 'new' });
    assert.deepEqual(position.next(), { call: 'push', fields: { pet_name: 'new' } });
  });

  it('keeps an amendment of what a stranger had changed, and was being healed', () => {
    const position = synced();
    get(position, { ...position.held, address: 'a stranger' });
    assert.equal(position.next().call, 'push');
    command(position, 'amend', { address: 'B' });
    accept(position, NOW);
    assert.deepEqual(position.next(), { call: 'push', fields: { address: 'B' } });
  });

  it('gives up what was refused, and keeps a change that is on its way', () => {
    const position = synced();
    command(position, 'amend', { address: 'bad' });
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'no' }, { address: 'bad' }, NOW);
    command(position, 'cancel', {});
    assert.equal(accept(position, NOW), true);
    const { policy_code } = position.held;
    assert.deepEqual(position.next(), { call: 'push', fields: { policy_state: INACTIVE, policy_code } });
  });

  it('a field that WeChat Pay never takes is taken back by an amendment with null, too', () => {
    const position = synced();
    const there = { ...position.held };
    command(position, 'amend', { pet_color: 'brown' });
    position.sending = { pet_color: 'brown' };
    assert.equal(position.mayHold('pet_color'), true, 'as long as it is on its way');
    position.sending = undefined;
    takeAnswer(position, { policy: there, unreadable: [] }, { pet_color: 'brown' }, NOW);
    const taken = obey(position.life, 'amend', { pet_color: null }, NOW, (field) => position.mayHold(field));
    change(position, taken, URGENCY.user, NOW);
    assert.equal(position.sync, 'SYNCED');
    assert.equal(position.mayHold('address'), true);
  });

  it('leaves no window to send where WeChat Pay has lost its times', () => {
    const late = NOW + 310 * DAY;
    const position = synced();
    change(position, settleDue(position.life, late).life, URGENCY.due, late);
    takeAnswer(position, { policy: position.held, unreadable: [] }, { support_renewal: true }, late);
    const { start_renewal_time: _start, end_renewal_time: _end, ...rest } = position.held;
    get(position, rest, late);
    assert.equal(accept(position, late), true);
    assert.equal(position.next().call, 'verify');
    assert.deepEqual(settleDue(position.life, late).applied, []);
  });

  it('keeps a surrender to come where WeChat Pay has the policy in force, and what it sends with it', () => {
    const position = opened({}, { policy_state: ISSUING, policy_code: undefined });
    const { policy_code: _none, ...there } = position.held;
    get(position, there as PolicyFields);
    command(position, 'cancel', { at: wireTime(NOW + 10 * DAY), policy_code: 'C9' });
    takeAnswer(position, { policy: there as PolicyFields, unreadable: [] }, { policy_code: 'C9' }, NOW);
    assert.equal(position.standing.block?.code, 'NOT_TAKEN');
    accept(position, NOW);
    assert.deepEqual([position.sync, position.next().call], ['SYNCED', 'verify']);
    get(position, { ...there, policy_code: 'C9', policy_state: APPROVED } as PolicyFields);
    assert.equal(position.sync, 'DIVERGED');
    accept(position, NOW);
    assert.equal(position.held.policy_state, APPROVED);
    const late = NOW + 11 * DAY;
    change(position, settleDue(position.life, late).life, URGENCY.due, late);
    assert.deepEqual(position.next(), { call: 'push', fields: { policy_state: INACTIVE, policy_code: 'C9' } });
  });

  it('never gives up the policy_code that a surrender on its way is sent with', () => {
    const position = opened({}, { policy_state: ISSUING, policy_code: undefined });
    const { policy_code: _none, ...there } = position.held;
    get(position, there as PolicyFields);
    command(position, 'cancel', { at: wireTime(NOW + 10 * DAY), policy_code: 'C9' });
    takeAnswer(position, { policy: there as PolicyFields, unreadable: [] }, { policy_code: 'C9' }, NOW);
    accept(position, NOW);
    const late = NOW + 11 * DAY;
    change(position, settleDue(position.life, late).life, URGENCY.due, late);
    assert.deepEqual(position.next(), { call: 'push', fields: { policy_state: INACTIVE, policy_code: 'C9' } });
  });

  it('takes another end of cover, though the window that the record gave does not fit into it', () => {
    const given = { start_renewal_time: wireTime(NOW + 320 * DAY), end_renewal_time: wireTime(NOW + 380 * DAY) };
    const expired_time = wireTime(NOW + 700 * DAY);
    const position = synced(given);
    get(position, { ...position.held, expired_time });
    assert.equal(accept(position, NOW), true);
    assert.deepEqual(
      [position.held.expired_time, position.sync, position.next().call],
      [expired_time, 'SYNCED', 'verify'],
    );
    command(position, 'cancel', {});
    assert.equal(position.held.support_renewal, false, 'a surrender closes what was left there');
  });

  it('leaves nothing to send, whatever differed, now or by a time already past', () => {
    const time = fc.integer({ min: -400, max: 500 }).map((days) => wireTime(NOW + days * DAY));
    const absent = fc.constant(undefined);
    const drift = fc.record(
      {
        policy_state: fc.constantFrom(ISSUING, APPROVED, INACTIVE, DECLINED),
        support_renewal: fc.oneof(fc.boolean(), absent),
        start_renewal_time: fc.oneof(time, absent),
        end_renewal_time: fc.oneof(time, absent),
        expired_time: time,
        effective_time: time,
        coverage_term_type: fc.constantFrom('COVERAGE_TERM_TYPE_LIFETIME', 'COVERAGE_TERM_TYPE_FIXED_DATE'),
        policy_code: fc.constantFrom('C1', 'C2'),
        address: fc.constantFrom('X', undefined),
      },
      { requiredKeys: [] },
    );
    const before = fc.record({
      day: fc.integer({ min: 0, max: 420 }),
      given: fc.boolean(),
      support_renewal: fc.boolean(),
      command: fc.constantFrom(
        undefined,
        ['renew', { as: 'NEXT1' }] as const,
        ['cancel', {}] as const,
        ['cancel', { at: wireTime(NOW + 360 * DAY) }] as const,
      ),
      attempted: fc.boolean(),
    });
    fc.assert(
      fc.property(before, drift, ({ day, given, support_renewal, command: first, attempted }, theirs) => {
        const now = NOW + day * DAY;
        const times = { start_renewal_time: wireTime(NOW + 320 * DAY), end_renewal_time: wireTime(NOW + 380 * DAY) };
        const position = synced({ support_renewal, ...(given && times) });
        if (first) tryCommand(position, first);
        const due = settleDue(position.life, now);
        if (due.applied.length > 0) change(position, due.life, URGENCY.due, now);
        takeAnswer(position, { policy: position.held, unreadable: [] }, { ...position.held }, now);
        if (attempted) takeUnknown(position, { address: 'once' }, now);
        get(position, { ...position.held, ...theirs } as PolicyFields, now);
        const { cancellation } = position.life;
        try {
          accept(position, now);
        } catch (error) {
          assert.ok(error instanceof RuleViolation, String(error));
          return;
        }
        assert.equal(position.next().call, 'verify');
        assert.equal(position.sync, 'SYNCED');
        const later = settleDue(position.life, now);
        assert.deepEqual(
          later.applied.filter(({ what }) => !what.startsWith('issuing-')),
          [],
        );
        const { policy_state } = position.held;
        if (policy_state === APPROVED || policy_state === ISSUING)
          assert.deepEqual(position.life.cancellation, cancellation, 'a surrender to come stays');
        if (policy_state !== INACTIVE) return;
        const left = dueTimes(settleDue(position.life, now + 2000 * DAY).life).map(({ what }) => what);
        assert.deepEqual(left, ['end'], 'every life ends');
      }),
      { numRuns: 500 },
    );
  });

  function tryCommand(position: Position, [name, input]: readonly [CommandName, Record<string, unknown>]): void {
    command(position, name, input);
  }
});
