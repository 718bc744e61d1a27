import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PolicyFields } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { type Carried, restarted } from '../workflows/carried.ts';
import { takeAnswer, takeRefusal, takeUnknown } from '../workflows/reconciler/answers.ts';
import { behind, resume } from '../workflows/reconciler/desired.ts';
import { Position } from '../workflows/reconciler/position.ts';
import { settle } from '../workflows/reconciler/settled.ts';
import { DAY, SEED } from './fixtures.ts';
import { command, get, NOW, opened } from './reconciler_fixture.ts';

describe('a refusal', () => {
  function refused(): Position {
    const position = opened({}, { policy_state: APPROVED });
    get(position, position.held);
    command(position, 'amend', { address: 'bad', pet_name: 'new' });
    takeRefusal(
      position,
      { status: 400, code: 'PARAM_ERROR', message: 'no', request_id: 'R1' },
      { address: 'bad', pet_name: 'new' },
      NOW,
    );
    return position;
  }

  it('blocks with code and Request-ID, and the same values are never sent again', () => {
    const position = refused();
    assert.equal(position.sync, 'BLOCKED');
    assert.equal(position.standing.block?.code, 'PARAM_ERROR');
    assert.equal(position.standing.block?.request_id, 'R1');
    assert.equal(position.next().call, 'verify');
  });

  it('does not keep a surrender from leaving', () => {
    const position = refused();
    command(position, 'cancel', {});
    const action = position.next();
    assert.ok(action.call === 'push');
    assert.equal(action.fields.policy_state, INACTIVE);
    assert.equal('address' in action.fields, false);
  });

  it('is over once a refused field is amended, or a person resumes', () => {
    const position = refused();
    command(position, 'amend', { address: 'good' });
    assert.deepEqual(position.next(), { call: 'push', fields: { address: 'good', pet_name: 'new' } });
    const resumed = refused();
    assert.equal(resume(resumed, NOW), true);
    assert.deepEqual(resumed.next(), { call: 'push', fields: { address: 'bad', pet_name: 'new' } });
  });

  it('after an unknown outcome is asked about first: the attempt may have landed, and the rest still goes', () => {
    const position = opened();
    const before = { ...position.held };
    get(position, before);
    command(position, 'approve', { policy_code: 'C1' });
    takeUnknown(position, { policy_state: APPROVED, policy_code: 'C1' }, NOW);
    get(position, before);
    command(position, 'amend', { address: 'B' });
    const sent = { policy_state: APPROVED, policy_code: 'C1', address: 'B' } as const;
    takeRefusal(position, { status: 400, code: 'INVALID_REQUEST', message: 'no' }, sent, NOW);
    assert.equal(position.next().call, 'query');
    get(position, { ...before, policy_state: APPROVED, policy_code: 'C1' });
    assert.deepEqual(position.next(), { call: 'push', fields: { address: 'B' } });
    assert.equal(position.standing.block, null);
  });

  it('of a state for want of a policy_code is over once that is amended', () => {
    const position = opened();
    get(position, { ...position.held });
    command(position, 'cancel', {});
    const action = position.next();
    assert.ok(action.call === 'push');
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'policy_code' }, action.fields, NOW);
    command(position, 'amend', { policy_code: 'C2' });
    const fields = { policy_state: INACTIVE, policy_code: 'C2' };
    assert.deepEqual(position.next(), { call: 'push', fields });
  });

  it('of a verification blocks until WeChat Pay answers one again, and is no reason to rest', () => {
    const position = opened();
    get(position, position.held);
    assert.equal(position.verificationRefused, false);
    takeRefusal(position, { status: 403, code: 'RULE_LIMIT', message: 'no' }, undefined, NOW);
    assert.equal(position.sync, 'BLOCKED');
    assert.equal(position.next().call, 'verify');
    assert.equal(position.verificationRefused, true);
    get(position, position.held);
    assert.equal(position.sync, 'SYNCED');
    command(position, 'amend', { address: 'B' });
    takeUnknown(position, { address: 'B' }, NOW);
    assert.equal(position.next().call, 'query');
  });

  it('of an approval and a bad address at once lets the surrender leave by itself, and then tries the address once', () => {
    const position = opened();
    get(position, position.held);
    command(position, 'amend', { address: 'bad' });
    command(position, 'approve', { policy_code: 'C1' });
    const both = position.next();
    assert.ok(both.call === 'push');
    assert.deepEqual(Object.keys(both.fields).sort(), ['address', 'policy_code', 'policy_state']);
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'no' }, both.fields, NOW);
    assert.equal(position.next().call, 'verify', 'neither is sent again as it is');
    command(position, 'cancel', {});
    const fields: PolicyFields = { policy_state: INACTIVE, policy_code: 'C1' };
    assert.deepEqual(position.next(), { call: 'push', fields });
    takeAnswer(position, { policy: { ...position.held, address: SEED.address }, unreadable: [] }, fields, NOW);
    assert.deepEqual(position.next(), { call: 'push', fields: { address: 'bad' } });
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'no' }, { address: 'bad' }, NOW);
    assert.equal(position.sync, 'BLOCKED');
    assert.equal(position.next().call, 'verify');
  });

  it('of a verification of what is blocked already is expected from then on, and hides nothing of the block', () => {
    const position = refused();
    const { block } = position.standing;
    const gone = refused();
    takeRefusal(gone, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    for (const one of [position, gone]) {
      takeRefusal(one, { status: 403, code: 'RULE_LIMIT', message: 'no' }, undefined, NOW);
      assert.equal(one.next().call, 'verify');
      assert.equal(one.verificationRefused, true, 'or each verification would bring it, and the next follow at once');
      assert.deepEqual(one.standing.block, block);
    }
    get(position, { ...position.held, address: SEED.address, pet_name: SEED.pet_name });
    assert.deepEqual([position.verificationRefused, position.standing.block], [false, block]);
    takeRefusal(gone, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    assert.equal(gone.verificationRefused, false);
  });

  it('by 404 is asked about: the policy may be gone, or what the update names does not exist', () => {
    const changed = (): Position => {
      const position = opened();
      get(position, position.held);
      command(position, 'amend', { address: 'B' });
      takeRefusal(position, { status: 404, code: 'NOT_FOUND', message: 'no' }, { address: 'B' }, NOW);
      assert.equal(position.next().call, 'query');
      return position;
    };
    const gone = changed();
    takeRefusal(gone, { status: 404, code: 'NOT_FOUND', message: 'no' }, undefined, NOW);
    assert.deepEqual([gone.sync, gone.standing.block, gone.next().call], ['DIVERGED', null, 'verify']);
    const there = changed();
    get(there, { ...there.held, address: SEED.address });
    assert.deepEqual([there.sync, there.standing.block?.code, there.next().call], ['BLOCKED', 'NOT_FOUND', 'verify']);
  });

  it('of what was taken back while the call ran blocks nothing: it is there as it should be', () => {
    const position = opened({}, { policy_state: APPROVED });
    get(position, position.held);
    command(position, 'amend', { address: 'bad' });
    position.sending = { address: 'bad' };
    command(position, 'amend', { address: SEED.address });
    position.sending = undefined;
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'no' }, { address: 'bad' }, NOW);
    settle(position);
    assert.deepEqual([position.sync, position.standing.refused], ['SYNCED', {}]);
    command(position, 'amend', { address: 'bad', pet_name: 'bad' });
    const sent = { address: 'bad', pet_name: 'bad' };
    command(position, 'amend', { address: 'better' });
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'no' }, sent, NOW);
    assert.deepEqual([position.sync, position.standing.refused], ['BLOCKED', { pet_name: '"bad"' }]);
    assert.deepEqual(position.next(), { call: 'push', fields: { address: 'better' } });
  });

  it('of the GET itself is tried anew by any change, whatever else was refused, also by one that comes while it runs', () => {
    const rests = (hurried = false): Position => {
      const position = refused();
      command(position, 'amend', { car_number: 'B' });
      takeUnknown(position, { car_number: 'B' }, NOW);
      position.hurried = hurried;
      takeRefusal(position, { status: 403, code: 'RULE_LIMIT', message: 'no' }, undefined, NOW);
      return position;
    };
    assert.equal(rests().next().call, 'rest');
    assert.equal(rests(true).next().call, 'query');
    const reset = rests();
    behind(reset, 9, NOW);
    const held = rests();
    command(held, 'hold', { reason: 'r' });
    command(held, 'unhold', {});
    const observed = rests();
    command(observed, 'observe', { on: true });
    const surrendered = rests();
    command(surrendered, 'cancel', {}, NOW + DAY);
    const { life, standing, held: there } = rests();
    const kept = { record: life.record, remote: there, revision: 9, end: 'STOPPED' } as const;
    const anew = restarted({ life, standing } as Carried, kept);
    const restored = new Position(anew.life, anew.standing);
    for (const position of [reset, held, observed, surrendered, restored]) assert.equal(position.next().call, 'query');
  });

  it('to tell what it holds, and then to take a change, leaves it BLOCKED for the change, though the next GET is answered', () => {
    const position = opened({}, { policy_state: APPROVED });
    const { held } = position;
    get(position, held);
    const no = { status: 400, code: 'PARAM_ERROR', message: 'no' };
    takeRefusal(position, no, undefined, NOW);
    assert.equal(position.sync, 'BLOCKED');
    command(position, 'amend', { address: 'bad' });
    takeRefusal(position, no, { address: 'bad' }, NOW);
    get(position, held);
    assert.deepEqual([position.sync, position.standing.block?.code], ['BLOCKED', no.code]);
    assert.ok(position.standing.synced_revision < position.standing.revision);
  });

  it('to tell what an observed policy is has it BLOCKED, until one is answered', () => {
    const rule = { status: 403, code: 'RULE_LIMIT', message: 'no' };
    const first = opened({ observe: true });
    const later = opened({ observe: true });
    get(later, later.held);
    for (const position of [first, later]) {
      takeRefusal(position, rule, undefined, NOW);
      assert.equal(position.sync, 'BLOCKED');
      resume(position, NOW);
      assert.notEqual(position.next().call, 'rest');
      get(position, position.held);
      assert.equal(position.sync, 'OBSERVED');
    }
  });

  it('of the GET itself leaves nothing to do before a person acts', () => {
    const position = opened();
    takeRefusal(position, { status: 400, code: 'PARAM_ERROR', message: 'no' }, undefined, NOW);
    assert.equal(position.sync, 'BLOCKED');
    assert.equal(position.next().call, 'rest');
    resume(position, NOW);
    assert.equal(position.next().call, 'query');
  });
});

describe('an attempt that may still land', () => {
  const MINUTE = 60_000;

  /** Approved with unknown outcome, which a GET did not show; then surrendered, and the surrender confirmed. */
  function surrendered(): Position {
    const position = opened();
    const issuing = { ...position.held };
    get(position, issuing);
    command(position, 'approve', { policy_code: 'C1' });
    takeUnknown(position, { policy_state: APPROVED, policy_code: 'C1' }, NOW);
    command(position, 'cancel', {});
    get(position, issuing);
    const { fields } = position.next() as { fields: PolicyFields };
    takeAnswer(position, { policy: position.held, unreadable: [] }, fields, NOW);
    assert.equal(position.next().call, 'verify');
    return position;
  }

  it('is ours when it lands after what was sent since, and the newest state is sent again', () => {
    const position = surrendered();
    assert.equal(position.landsBy, NOW + 15 * MINUTE);
    get(position, { ...position.held, policy_state: APPROVED }, NOW + 14 * MINUTE);
    assert.deepEqual(position.standing.discrepancies, []);
    const { policy_code } = position.held;
    assert.deepEqual(position.next(), { call: 'push', fields: { policy_state: INACTIVE, policy_code } });
  });

  it('is ours when the first answer after its time shows it, and a stranger does it from then on', () => {
    const late = surrendered();
    get(late, { ...late.held, policy_state: APPROVED }, NOW + 20 * MINUTE);
    assert.equal(late.next().call, 'push');
    const settled = surrendered();
    get(settled, settled.held, NOW + 15 * MINUTE);
    assert.equal(settled.landsBy, undefined);
    get(settled, { ...settled.held, policy_state: APPROVED }, NOW + 20 * MINUTE);
    assert.equal(settled.sync, 'DIVERGED');
  });

  it('of a field is ours too, though the amendments after it were confirmed', () => {
    const position = opened({ verification: { on_drift: 'report' } });
    get(position, position.held);
    command(position, 'amend', { address: 'B' });
    takeUnknown(position, { address: 'B' }, NOW);
    get(position, { ...position.held, address: SEED.address });
    for (const address of ['C', 'D']) {
      command(position, 'amend', { address });
      takeAnswer(position, { policy: position.held, unreadable: [] }, { address }, NOW);
    }
    assert.equal(position.next().call, 'verify', 'nothing is carried again');
    get(position, { ...position.held, address: 'B' }, NOW + MINUTE);
    assert.deepEqual(position.next(), { call: 'push', fields: { address: 'D' } });
  });
});
