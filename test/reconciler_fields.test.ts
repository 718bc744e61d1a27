import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LIFETIME } from '../policy/fields.ts';
import { dueTimes } from '../policy/life.ts';
import type { PolicyFields } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { accept } from '../workflows/reconciler/accept.ts';
import { takeAnswer, takeRefusal, takeUnknown } from '../workflows/reconciler/answers.ts';
import { resume } from '../workflows/reconciler/desired.ts';
import type { Position } from '../workflows/reconciler/position.ts';
import { DAY, SEED } from './fixtures.ts';
import { bring, command, get, NOW, opened, Remote } from './reconciler_fixture.ts';

describe('a field that was not ours', () => {
  it('and that WeChat Pay has as true is asked about, and sent, when a person says false', () => {
    const position = opened();
    const theirs = { ...position.held, free_insurance: true, first_period_amount: 100 };
    get(position, theirs);
    command(position, 'amend', { free_insurance: false, first_period_amount: 0 });
    assert.deepEqual([position.next().call, position.sync], ['query', 'PENDING']);
    get(position, theirs);
    const fields = { free_insurance: false, first_period_amount: 0 };
    assert.deepEqual(position.next(), { call: 'push', fields });
  });

  it('and that WeChat Pay has not either costs a GET and no PATCH when a person says false', () => {
    for (const adopt of ['push', 'remote', 'report']) {
      const position = opened({ adopt });
      get(position, { ...position.held });
      command(position, 'amend', { free_insurance: false });
      get(position, { ...position.held, free_insurance: undefined } as PolicyFields);
      assert.deepEqual([position.next().call, position.sync], ['verify', 'SYNCED']);
    }
  });

  it('and that was empty there is expected to be so: a verification finds what appears', () => {
    const position = opened({}, { free_insurance: false });
    const { free_insurance: _left, pet_name: _lost, ...there } = position.held;
    get(position, there as PolicyFields);
    takeAnswer(position, { policy: there as PolicyFields, unreadable: [] }, { pet_name: SEED.pet_name }, NOW);
    const action = position.next();
    assert.ok(action.call === 'verify');
    const { free_insurance, pet_name, address } = action.expected as Record<string, unknown>;
    assert.deepEqual([free_insurance, pet_name, address], [null, null, SEED.address]);
  });
});

describe('a window that others gave WeChat Pay', () => {
  const theirs = { start_renewal_time: wireTime(NOW - 10 * DAY), end_renewal_time: wireTime(NOW + 10 * DAY) };
  const ours = { start_renewal_time: wireTime(NOW + 305 * DAY), end_renewal_time: wireTime(NOW + 395 * DAY) };

  it('gives way to ours when the policy is opened, and closes with a surrender', () => {
    const position = opened({}, { policy_state: APPROVED });
    get(position, { ...position.held, ...theirs });
    assert.deepEqual(position.next(), { call: 'push', fields: { support_renewal: true, ...ours } });
    command(position, 'cancel', {});
    const { fields } = position.next() as { fields: PolicyFields };
    assert.deepEqual([fields.policy_state, fields.support_renewal], [INACTIVE, false]);
  });

  it('is reported where the record says so, at the opening and later', () => {
    const settings = { adopt: 'report', verification: { on_drift: 'report' } };
    const first = opened(settings, { policy_state: APPROVED });
    const later = opened(settings, { policy_state: APPROVED });
    get(later, later.held);
    for (const position of [first, later]) {
      get(position, { ...position.held, ...theirs });
      assert.deepEqual(position.diverged, ['start_renewal_time', 'end_renewal_time']);
      assert.equal(position.next().call, 'verify');
    }
  });

  it('and that breaks our rules is left as it is by accept', () => {
    const position = opened();
    const start_renewal_time = wireTime(NOW + 200 * DAY);
    get(position, { ...position.held, ...ours, start_renewal_time, policy_state: APPROVED });
    assert.equal(position.sync, 'DIVERGED');
    assert.equal(accept(position, NOW), true);
    assert.deepEqual([position.held.policy_state, position.sync], [APPROVED, 'SYNCED']);
    assert.equal(position.next().call, 'verify');
    command(position, 'cancel', {});
    const { fields } = position.next() as { fields: PolicyFields };
    assert.deepEqual([fields.policy_state, fields.support_renewal], [INACTIVE, false], 'until it closes');
  });

  for (const [what, changes] of [
    ['a policy that is surrendered already', {}],
    ['one with cover for life', { coverage_term_type: LIFETIME }],
  ] as const)
    it(`closes at once in ${what}, and the life can end`, () => {
      const position = opened({}, { policy_state: APPROVED, policy_code: 'C1', support_renewal: true });
      const remote = new Remote({ ...position.held });
      get(position, remote.policy);
      command(position, 'cancel', {});
      bring(position, remote, NOW);
      if (Object.keys(changes).length > 0) command(position, 'amend', changes);
      bring(position, remote, NOW);
      remote.policy = {
        ...remote.policy,
        start_renewal_time: wireTime(NOW + 300 * DAY),
        end_renewal_time: wireTime(NOW + 400 * DAY),
      };
      get(position, remote.policy);
      bring(position, remote, NOW);
      assert.deepEqual([position.sync, remote.policy.support_renewal], ['SYNCED', false]);
      const due = dueTimes(position.life).map(({ what }) => what);
      assert.deepEqual(due, ['end']);
    });
});

describe('names that no key opens', () => {
  /** WeChat Pay holds names that nobody can open. */
  function sealed(settings: Record<string, unknown> = {}): { position: Position; there: PolicyFields } {
    const position = opened(settings, { policy_state: APPROVED });
    const { insured_name_list: _sealed, ...there } = position.held;
    get(position, position.held);
    blind(position, there);
    return { position, there };
  }

  function blind(position: Position, policy: PolicyFields, sent?: PolicyFields): void {
    takeAnswer(position, { policy, unreadable: ['insured_name_list'] }, sent, NOW);
  }

  it('are replaced by what a command changed: unreadable is never taken for what we want', () => {
    const { position, there } = sealed();
    const names = { insured_name_list: ['李四'] };
    command(position, 'amend', names);
    assert.deepEqual(position.next(), { call: 'push', fields: names });
    takeUnknown(position, names, NOW);
    blind(position, there);
    assert.deepEqual(position.next(), { call: 'push', fields: names }, 'a GET that nobody can read tells nothing');
    blind(position, there, names);
    assert.equal(position.sync, 'SYNCED');
    assert.equal(position.next().call, 'verify');
  });

  it('amended before the answer that nobody can open are sent, too', () => {
    const position = opened();
    const { insured_name_list: _sealed, ...there } = position.held;
    command(position, 'amend', { insured_name_list: ['李四'] });
    blind(position, there);
    assert.deepEqual(position.next(), { call: 'push', fields: { insured_name_list: ['李四'] } });
  });

  it('and turn out to be other than ours are drift, unless a command changed ours meanwhile', () => {
    const { position } = sealed({ verification: { on_drift: 'report' } });
    get(position, { ...position.held, insured_name_list: ['王五'] });
    assert.deepEqual(position.diverged, ['insured_name_list']);
    const { position: amended } = sealed({ verification: { on_drift: 'report' } });
    command(amended, 'amend', { insured_name_list: ['李四'] });
    get(amended, { ...amended.held, insured_name_list: [...SEED.insured_name_list] });
    assert.deepEqual(amended.next(), { call: 'push', fields: { insured_name_list: ['李四'] } });
  });

  it('are replaced by resume, though ours have not changed', () => {
    const { position, there } = sealed();
    assert.equal(position.sync, 'SYNCED');
    assert.equal(resume(position, NOW), true);
    const names = { insured_name_list: [...SEED.insured_name_list] };
    assert.deepEqual(position.next(), { call: 'push', fields: names });
    blind(position, there, names);
    assert.deepEqual(
      [position.next().call, position.sync],
      ['verify', 'SYNCED'],
      'once, though nobody reads them still',
    );
  });

  it('in the first answer are judged by adopt once a key does', () => {
    const expected = {
      push: ['push', SEED.insured_name_list],
      remote: ['verify', ['王五']],
      report: ['verify', SEED.insured_name_list],
    };
    for (const adopt of ['push', 'remote', 'report'] as const) {
      const position = opened({ adopt }, { policy_state: APPROVED });
      const { insured_name_list: _sealed, ...there } = position.held;
      blind(position, there);
      blind(position, there);
      get(position, { ...there, insured_name_list: ['王五'] });
      assert.deepEqual([position.next().call, position.held.insured_name_list], expected[adopt]);
      assert.deepEqual(position.diverged, adopt === 'report' ? ['insured_name_list'] : []);
    }
  });

  it('and that WeChat Pay refuses to replace are left as they are by accept', () => {
    const { position } = sealed();
    const names = { insured_name_list: ['李四'] };
    command(position, 'amend', names);
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'no' }, names, NOW);
    assert.equal(accept(position, NOW), true);
    assert.equal(position.sync, 'SYNCED');
    assert.equal(position.next().call, 'verify');
  });
});
