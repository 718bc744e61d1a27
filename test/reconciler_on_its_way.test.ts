import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PolicyFields } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { takeUnknown } from '../workflows/reconciler/answers.ts';
import { resume } from '../workflows/reconciler/desired.ts';
import type { Position } from '../workflows/reconciler/position.ts';
import { command, get, NOW, opened, synced } from './reconciler_fixture.ts';

describe('what was accepted since WeChat Pay was last known to hold it', () => {
  for (const [what, shown] of [
    ['asked by a person', () => {}],
    ['of unknown outcome', (position: Position) => takeUnknown(position, { policy_state: INACTIVE }, NOW)],
    [
      'accepted on hold',
      (position: Position) => {
        command(position, 'hold', { reason: 'r' });
        command(position, 'unhold', {});
      },
    ],
    [
      'of a life restored from a record that may lag',
      ({ standing }: Position) => Object.assign(standing, { must_query: true, lagging: true }),
    ],
  ] as const)
    it(`a surrender on its way leaves though a GET shows another state that it follows from: ${what}`, () => {
      const position = opened();
      get(position, position.held);
      const there = { ...position.held, policy_state: APPROVED } as const;
      command(position, 'cancel', {});
      shown(position);
      get(position, there);
      assert.equal((position.next() as { fields: PolicyFields }).fields.policy_state, INACTIVE);
    });

  it('an amendment on its way leaves under on_drift report, though a stranger changed the same field', () => {
    const position = synced({ verification: { on_drift: 'report' } });
    const there = { ...position.held, address: 'a stranger' };
    command(position, 'amend', { address: 'B' });
    get(position, there);
    assert.deepEqual(position.next(), { call: 'push', fields: { address: 'B' } });
    assert.ok(position.standing.synced_revision < position.standing.revision, 'and is not there yet');
  });

  it('while a change of an observed policy is not there, its revision is not called synced, though the difference is reported', () => {
    const position = opened({ observe: true }, { policy_state: APPROVED });
    get(position, position.held);
    const there = { ...position.held, address: 'a stranger' };
    command(position, 'amend', { address: 'B' });
    get(position, there);
    assert.deepEqual(position.diverged, ['address']);
    assert.ok(position.standing.synced_revision < position.standing.revision);
  });

  it('an approval never revives what WeChat Pay has surrendered: a reinstatement does', () => {
    const surrendered = (position: Position): PolicyFields => ({ ...position.held, policy_state: INACTIVE });
    const observed = opened({ observe: true });
    get(observed, observed.held);
    command(observed, 'approve', { policy_code: 'C1' });
    get(observed, surrendered(observed));
    command(observed, 'observe', { on: false });
    const known = opened();
    get(known, surrendered(known));
    resume(known, NOW);
    command(known, 'approve', { policy_code: 'C1' });
    const first = ['push', 'report'].map((adopt) => opened({ adopt }));
    const healing = opened({ verification: { on_state_drift: 'heal' } });
    get(healing, healing.held);
    for (const position of [...first, healing]) command(position, 'approve', { policy_code: 'C1' });
    for (const position of [observed, known, healing, ...first]) {
      get(position, surrendered(position));
      assert.deepEqual([position.sync, position.next().call], ['DIVERGED', 'verify']);
    }
    const reinstated = opened({}, { policy_state: INACTIVE, policy_code: 'C1' });
    command(reinstated, 'reinstate', { reason: 'paid' });
    get(reinstated, surrendered(reinstated));
    assert.equal((reinstated.next() as { fields: PolicyFields }).fields.policy_state, APPROVED);
  });
});
