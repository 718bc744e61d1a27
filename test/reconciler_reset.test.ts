import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PolicyFields } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { takeUnknown } from '../workflows/reconciler/answers.ts';
import { behind } from '../workflows/reconciler/desired.ts';
import { SEED } from './fixtures.ts';
import { command, get, NOW, opened } from './reconciler_fixture.ts';

describe("a run that Temporal's reset brought back", () => {
  it('to before its first answer reports what it finds otherwise: adopt does not overwrite what was confirmed since', () => {
    for (const adopt of ['push', 'remote', 'report']) {
      const position = opened({ adopt }, { policy_state: APPROVED });
      behind(position, 5, NOW);
      command(position, 'amend', { pet_name: 'since' });
      const there = { ...position.held, pet_name: SEED.pet_name };
      get(position, { ...there, address: 'amended and confirmed by the run before' });
      assert.deepEqual(position.diverged, ['address']);
      assert.deepEqual(
        position.next(),
        { call: 'push', fields: { pet_name: 'since' } },
        'what was changed since leaves',
      );
    }
  });

  it('and that knows less than was accepted does not repeat a surrender, which may have been taken back since', () => {
    const position = opened({}, { policy_state: APPROVED });
    get(position, position.held);
    const there = { ...position.held };
    command(position, 'cancel', {});
    behind(position, position.standing.revision + 1, NOW);
    get(position, there);
    assert.deepEqual([position.sync, position.next().call], ['DIVERGED', 'verify']);
  });

  it('and to which all messages were applied again sends what they changed', () => {
    const position = opened({}, { policy_state: APPROVED });
    get(position, position.held);
    const there = { ...position.held };
    command(position, 'cancel', {});
    behind(position, position.standing.revision, NOW);
    get(position, there);
    assert.equal((position.next() as { fields: PolicyFields }).fields.policy_state, INACTIVE);
  });

  it('makes no call beside the attempt of the run before, which ends within 20 s, whatever comes meanwhile', () => {
    const position = opened({}, { policy_state: APPROVED });
    get(position, position.held);
    behind(position, 7, NOW);
    const waits = { call: 'query', not_before: NOW + 20_000 };
    assert.deepEqual(position.next(), waits);
    command(position, 'amend', { address: 'meanwhile' });
    assert.deepEqual(position.next(), waits);
    get(position, position.held, NOW + 20_000);
    takeUnknown(position, { address: 'later' }, NOW + 30_000);
    command(position, 'amend', { address: 'later still' }, NOW + 30_000);
    assert.deepEqual(position.next(), { call: 'query', not_before: 0 });
  });
});
