import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PolicyFields } from '../policy/record.ts';
import { APPROVED, DECLINED, INACTIVE } from '../policy/state.ts';
import { RuleViolation } from '../policy/violation.ts';
import { type Carried, restarted } from '../workflows/carried.ts';
import { accept } from '../workflows/reconciler/accept.ts';
import { takeAnswer, takeRefusal, takeUnknown } from '../workflows/reconciler/answers.ts';
import { resume } from '../workflows/reconciler/desired.ts';
import { Position } from '../workflows/reconciler/position.ts';
import { DAY } from './fixtures.ts';
import { command, get, NOW, opened, synced } from './reconciler_fixture.ts';

describe('verification', () => {
  it('a field that drifts is recorded and healed by a PATCH', () => {
    const position = synced();
    const ours = position.held.address;
    get(position, { ...position.held, address: 'tampered' });
    assert.deepEqual(position.next(), { call: 'push', fields: { address: ours } });
    takeAnswer(position, { policy: position.held, unreadable: [] }, { address: ours }, NOW);
    assert.deepEqual(
      position.standing.discrepancies.map(({ kind, became }) => [kind, became]),
      [['drift', 'healed']],
    );
    assert.equal(position.sync, 'SYNCED');
  });

  it('on_drift report leaves it, DIVERGED, until it is accepted', () => {
    const position = synced({ verification: { on_drift: 'report' } });
    get(position, { ...position.held, address: 'tampered' });
    assert.equal(position.sync, 'DIVERGED');
    assert.equal(position.next().call, 'verify');
    assert.equal(accept(position, NOW), true);
    assert.equal(position.held.address, 'tampered');
    assert.equal(position.sync, 'SYNCED');
  });

  it('accept leaves a change of ours that is on its way: a surrender is not taken back', () => {
    const position = synced({ verification: { on_drift: 'report' } });
    const theirs = { ...position.held, address: 'tampered' };
    get(position, theirs);
    command(position, 'cancel', {});
    assert.equal(accept(position, NOW), true);
    assert.equal(position.held.address, 'tampered');
    const { policy_code } = position.held;
    assert.deepEqual(position.next(), { call: 'push', fields: { policy_state: INACTIVE, policy_code } });
  });

  it('accept is refused while nobody knows what WeChat Pay holds: its state may be another by now', () => {
    const position = synced();
    command(position, 'cancel', {});
    const action = position.next();
    assert.ok(action.call === 'push');
    takeUnknown(position, action.fields, NOW);
    assert.throws(() => accept(position, NOW), { rule: 'unknown-outcome' });
    assert.equal(position.held.policy_state, INACTIVE);
  });

  it('accept takes back the closing of a window that WeChat Pay has open', () => {
    const position = synced({ verification: { on_drift: 'report' } });
    command(position, 'renew', { as: 'NEXT1' });
    takeAnswer(position, { policy: position.held, unreadable: [] }, { support_renewal: false }, NOW);
    get(position, { ...position.held, support_renewal: true });
    assert.equal(position.sync, 'DIVERGED');
    assert.equal(accept(position, NOW), true);
    assert.equal(position.held.support_renewal, true);
    assert.equal(position.sync, 'SYNCED');
  });

  for (const [what, take] of [
    ['accept', (position: Position) => accept(position, NOW)],
    ['adopt remote', () => true],
  ] as const)
    it(`${what} keeps names that no key opens`, () => {
      const position = opened(what === 'accept' ? { verification: { on_drift: 'report' } } : { adopt: 'remote' });
      const { insured_name_list: _sealed, ...policy } = position.held;
      if (what === 'accept') get(position, { ...position.held });
      takeAnswer(
        position,
        { policy: { ...policy, address: 'theirs' }, unreadable: ['insured_name_list'] },
        undefined,
        NOW,
      );
      assert.equal(take(position), true);
      assert.equal(position.held.address, 'theirs');
      assert.deepEqual(position.held.insured_name_list, opened().held.insured_name_list);
    });

  it('a state of WeChat Pay that nobody knows, or none, is DIVERGED: nothing follows from it, nothing fails', () => {
    for (const state of ['POLICY_STATE_SUSPENDED', 'constructor', 7, undefined]) {
      const theirs = { ...synced().held, policy_state: state } as unknown as PolicyFields;
      for (const settings of [{}, { verification: { on_state_drift: 'heal' } }]) {
        const first = opened(settings, { policy_state: APPROVED });
        const later = synced(settings);
        for (const position of [first, later]) {
          get(position, theirs);
          resume(position, NOW);
          assert.equal(position.sync, 'DIVERGED', String(state));
          assert.equal(position.next().call, 'verify');
          assert.throws(() => accept(position, NOW), RuleViolation);
        }
      }
    }
  });

  it('a state that we reach by ourselves after it was reported is no difference any more', () => {
    const position = synced();
    get(position, { ...position.held, policy_state: INACTIVE });
    assert.equal(position.sync, 'DIVERGED');
    command(position, 'cancel', {});
    assert.equal(position.sync, 'SYNCED');
  });

  it('a field that is new in ours, and that WeChat Pay has held otherwise all the time, is sent and is no drift', () => {
    const position = opened({ verification: { on_drift: 'report' } }, { address: undefined });
    const theirs = { ...position.held, address: 'old' };
    get(position, theirs);
    command(position, 'amend', { address: 'new' });
    takeUnknown(position, { address: 'new' }, NOW);
    get(position, theirs);
    assert.deepEqual(position.next(), { call: 'push', fields: { address: 'new' } });
    assert.deepEqual(position.standing.discrepancies, []);
  });

  it('what the first answer of a life restored from a record that may lag shows otherwise is reported, not undone', () => {
    const position = synced();
    Object.assign(position.standing, { must_query: true, lagging: true });
    get(position, { ...position.held, address: 'a later change of ours' });
    assert.equal(position.sync, 'DIVERGED');
    assert.equal(position.next().call, 'verify');
    get(position, { ...position.held, address: 'a later change of ours', pet_name: 'tampered' });
    assert.equal((position.next() as { fields: PolicyFields }).fields.pet_name, position.held.pet_name);
  });

  it('a life restored from a record that is older than the answer beside it revives nothing', () => {
    const position = synced();
    const there = { ...position.held, policy_state: INACTIVE } as const;
    Object.assign(position.standing, { must_query: true, lagging: true, confirmed: there });
    get(position, there);
    assert.deepEqual([position.sync, position.next().call], ['DIVERGED', 'verify']);
  });

  it('on_drift report leaves what a stranger makes of a false or 0, which answers leave out', () => {
    const record = { policy_state: APPROVED, free_insurance: false, first_period_amount: 0 } as const;
    const position = opened({ verification: { on_drift: 'report' } }, record);
    const { free_insurance: _false, first_period_amount: _zero, ...there } = position.held;
    get(position, there as PolicyFields);
    assert.equal(position.sync, 'SYNCED');
    get(position, { ...there, free_insurance: true, first_period_amount: 100 } as PolicyFields);
    assert.deepEqual(position.diverged.sort(), ['first_period_amount', 'free_insurance']);
    assert.equal(position.next().call, 'verify');
  });

  it('a life stopped before its lagging record was held against an answer lags still when it is resumed', () => {
    for (const [end, lagging] of [
      ['STOPPED', true],
      [null, undefined],
    ] as const) {
      const { life, standing, held } = synced({ verification: { on_state_drift: 'heal' } });
      const former = { life, standing: { ...standing, lagging } } as Carried;
      const anew = restarted(former, { record: life.record, remote: held, revision: standing.revision, end });
      const position = new Position(anew.life, anew.standing);
      get(position, { ...held, policy_state: INACTIVE });
      assert.deepEqual([position.sync, position.next().call], ['DIVERGED', 'verify']);
    }
  });

  it('a state that drifts is reported and never undone silently, unless the record says heal', () => {
    const position = synced();
    get(position, { ...position.held, policy_state: INACTIVE });
    assert.equal(position.sync, 'DIVERGED');
    command(position, 'amend', { address: 'B' });
    assert.equal(position.next().call, 'verify', 'nothing is sent');
    const healing = synced({ verification: { on_state_drift: 'heal' } });
    get(healing, { ...healing.held, policy_state: INACTIVE });
    assert.equal((healing.next() as { fields: PolicyFields }).fields.policy_state, APPROVED);
  });

  it('what was reported stays so, whatever WeChat Pay makes of it, until a person decides', () => {
    const imported = opened({ adopt: 'report' }, { policy_state: APPROVED });
    const lagging = synced();
    Object.assign(lagging.standing, { must_query: true, lagging: true });
    for (const position of [imported, lagging])
      for (const address of ['theirs', 'another of theirs']) {
        get(position, { ...position.held, address });
        assert.deepEqual([position.next().call, position.diverged], ['verify', ['address']]);
      }
  });

  it('DECLINED at WeChat Pay is never left by us', () => {
    const position = synced({ verification: { on_state_drift: 'heal' } });
    get(position, { ...position.held, policy_state: DECLINED });
    resume(position, NOW);
    assert.equal(position.sync, 'DIVERGED');
    assert.equal(position.next().call, 'verify');
  });

  it('a policy once confirmed and now unknown is DIVERGED, and never uploaded again', () => {
    const position = synced({ upload: { appid: 'wx1', openid: 'o1' } });
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    assert.equal(position.sync, 'DIVERGED');
    assert.deepEqual(position.next(), { call: 'verify', expected: {}, expect_absent: true });
    assert.throws(() => accept(position, NOW), { rule: 'nothing-to-accept' });
  });

  it('a policy that WeChat Pay has not, and that is over with us, is accepted as over, and rests until either changes', () => {
    const missing = { status: 404, code: 'NOT_FOUND', message: 'no' };
    const gone = synced({ upload: { appid: 'wx1', openid: 'o1' } });
    const never = opened({}, { policy_state: APPROVED });
    const refused = opened({ upload: { appid: 'wx1', openid: 'o1' } }, { policy_state: APPROVED });
    for (const position of [gone, never, refused]) takeRefusal(position, missing, undefined, NOW);
    const upload = refused.next();
    assert.ok(upload.call === 'upload');
    takeRefusal(refused, { status: 400, code: 'PARAM_ERROR', message: 'openid' }, upload.fields, NOW);
    for (const position of [gone, never, refused]) {
      assert.throws(() => accept(position, NOW), { rule: 'nothing-to-accept' });
      command(position, 'cancel', {});
      // A change is a reason to look again, and to try an upload that was refused.
      for (let next = position.next(); next.call !== 'verify'; next = position.next()) {
        if (next.call !== 'upload') takeRefusal(position, missing, undefined, NOW);
        else takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'openid' }, next.fields, NOW);
      }
      assert.equal(accept(position, NOW), true);
      assert.equal(accept(position, NOW), false);
      for (const at of [NOW, NOW + 30 * DAY]) {
        assert.deepEqual([position.sync, position.next().call, position.diverged], ['SYNCED', 'verify', []]);
        assert.equal(position.standing.synced_revision, position.standing.revision);
        takeRefusal(position, missing, undefined, at);
      }
      assert.equal(position.standing.got_at, NOW + 30 * DAY);
      assert.deepEqual([position.landsBy, position.standing.block], [undefined, null]);
      command(position, 'reinstate', { reason: 'paid' });
      assert.notEqual(position.sync, 'SYNCED');
    }
    command(gone, 'cancel', {});
    accept(gone, NOW);
    get(gone, { ...gone.held, policy_state: APPROVED });
    assert.notEqual(gone.sync, 'SYNCED', 'it is back');
  });

  it('a policy once uploaded and now unknown is never uploaded again, though the answers of before are lost', () => {
    const position = synced({ upload: { appid: 'wx1', openid: 'o1' } });
    Object.assign(position.standing, { confirmed: null, must_query: true });
    takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    assert.deepEqual([position.sync, position.next().call], ['DIVERGED', 'verify']);
  });

  it('a value still lacking after a PATCH that carried it is NOT_TAKEN, and blocked', () => {
    const position = synced();
    const before = { ...position.held };
    command(position, 'amend', { address: 'B' });
    takeAnswer(position, { policy: before, unreadable: [] }, { address: 'B' }, NOW);
    assert.equal(position.standing.block?.code, 'NOT_TAKEN');
    assert.equal(position.next().call, 'verify');
  });

  it('names that no key opens are no drift', () => {
    const position = synced();
    const { insured_name_list: _sealed, ...policy } = position.held;
    takeAnswer(position, { policy, unreadable: ['insured_name_list'] }, undefined, NOW);
    assert.equal(position.sync, 'SYNCED');
  });

  it('fields that no key opens are marked and noted once, until one opens them again', () => {
    const position = synced();
    const { insured_name_list: _sealed, ...policy } = position.held;
    for (const _ of [1, 2]) takeAnswer(position, { policy, unreadable: ['insured_name_list'] }, undefined, NOW);
    assert.deepEqual(position.life.attention, ['unreadable:insured_name_list']);
    assert.deepEqual(
      position.standing.discrepancies.map(({ kind, field }) => [kind, field]),
      [['unreadable', 'insured_name_list']],
    );
    get(position, position.held);
    assert.deepEqual(position.life.attention, []);
  });
});
