import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { accept } from '../workflows/reconciler/accept.ts';
import { takeAnswer } from '../workflows/reconciler/answers.ts';
import { resume } from '../workflows/reconciler/desired.ts';
import type { Position } from '../workflows/reconciler/position.ts';
import { DAY } from './fixtures.ts';
import { command, get, NOW, synced } from './reconciler_fixture.ts';

describe('verification', () => {
  function drift(position: Position, field: string, value: unknown, now: number): void {
    get(position, { ...position.held, [field]: value }, now);
    const action = position.next();
    if (action.call === 'push') takeAnswer(position, { policy: position.held, unreadable: [] }, action.fields, now);
  }

  it('a field that drifts for the third time in 7 days is CONTESTED: reported, marked, not pushed again', () => {
    const position = synced();
    for (const day of [0, 3]) {
      drift(position, 'address', `theirs ${day}`, NOW + day * DAY);
      assert.equal(position.sync, 'SYNCED', 'healed');
    }
    drift(position, 'address', 'theirs', NOW + 6.9 * DAY);
    assert.equal(position.sync, 'DIVERGED');
    assert.equal(position.next().call, 'verify');
    assert.deepEqual(position.life.attention, ['contested:address']);
    assert.equal(position.standing.discrepancies.at(-1)?.became, 'contested');
    drift(position, 'address', 'another', NOW + 7 * DAY);
    assert.equal(position.next().call, 'verify', 'another value of theirs is not pushed over either');
  });

  it('drifts a week apart, or of several fields, are healed each time', () => {
    const position = synced();
    for (const week of [0, 1, 2, 3]) drift(position, 'address', 'theirs', NOW + week * 7 * DAY);
    drift(position, 'car_number', 'theirs', NOW + 21 * DAY);
    drift(position, 'coverage_detail', 'theirs', NOW + 21 * DAY);
    assert.equal(position.sync, 'SYNCED');
    assert.deepEqual(position.life.attention, []);
  });

  for (const [what, act, address] of [
    ['resume pushes ours', (position: Position) => resume(position, NOW), 'ours'],
    ['accept takes theirs', (position: Position) => accept(position, NOW), 'theirs'],
    [
      'an amendment pushes the new value',
      (position: Position) => command(position, 'amend', { address: 'new' }),
      'new',
    ],
  ] as const)
    it(`of a contested field ${what}, and its drifts count anew`, () => {
      const position = synced();
      command(position, 'amend', { address: 'ours' });
      takeAnswer(position, { policy: position.held, unreadable: [] }, { address: 'ours' }, NOW);
      for (const _ of [1, 2, 3]) drift(position, 'address', 'theirs', NOW);
      act(position);
      assert.deepEqual(position.life.attention, []);
      const action = position.next();
      if (action.call === 'push') takeAnswer(position, { policy: position.held, unreadable: [] }, action.fields, NOW);
      assert.equal(position.held.address, address);
      assert.equal(position.sync, 'SYNCED');
      drift(position, 'address', 'once more', NOW);
      assert.equal(position.sync, 'SYNCED', 'healed');
    });

  it('of large values, again and again, while MongoDB is away: the oldest lose their values, none is lost', () => {
    const position = synced({ verification: { on_drift: 'report' } });
    for (let day = 0; day < 50; day++)
      get(position, { ...position.held, coverage_detail: String(day % 10).repeat(15_000) }, NOW + day * DAY);
    const { discrepancies } = position.standing;
    assert.equal(discrepancies.length, 50);
    assert.ok(JSON.stringify(discrepancies).length < 200_000);
    assert.equal(discrepancies.at(-1)?.theirs, '9'.repeat(15_000));
    assert.deepEqual([discrepancies[0]?.ours, discrepancies[0]?.theirs], [null, undefined]);
  });
});
