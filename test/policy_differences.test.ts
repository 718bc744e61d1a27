import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { comparable, differences, patchOf } from '../policy/difference.ts';
import { APPROVED, DECLINED, INACTIVE, ISSUING, isTransition, POLICY_STATES } from '../policy/state.ts';

describe('differences', () => {
  it('tolerates what WeChat Pay writes otherwise', () => {
    const ours = {
      plan_id: 12535,
      effective_time: '2025-09-21T17:11:12+08:00',
      insured_name_list: ['甲', '乙'],
      car_number: '',
    };
    const theirs = {
      plan_id: '12535',
      effective_time: '2025-09-21T09:11:12Z',
      insured_name_list: ['乙', '甲'],
      extra: 1,
    };
    assert.deepEqual(differences(ours, theirs), []);
  });

  it('tolerates an amount 0 and a false left out of an answer, a time with +0800 or a blank for T', () => {
    const ours = {
      first_period_amount: 0,
      free_insurance: false,
      effective_time: '2025-09-21T17:11:12+08:00',
      expired_time: '2026-09-21T17:11:12+08:00',
    };
    const theirs = { effective_time: '2025-09-21T17:11:12+0800', expired_time: '2026-09-21 09:11:12.000z' };
    assert.deepEqual(differences(ours, theirs), []);
    assert.deepEqual(patchOf(ours, { ...theirs, first_period_amount: 5, free_insurance: true }), {
      first_period_amount: 0,
      free_insurance: false,
    });
    assert.equal(differences({ first_period_amount: 5 }, {}).length, 1);
  });

  it('sees every other change of a value', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        const found = differences({ address: a }, { address: b });
        assert.equal(found.length === 0, a === b || a === '');
      }),
    );
  });

  it('is blind to fields that nobody could open', () => {
    assert.deepEqual(differences({ insured_name_list: ['甲'] }, {}, ['insured_name_list']), []);
  });

  it('comparable text does not depend on the order of keys', () => {
    assert.equal(comparable('x', { a: 1, b: { c: 2, d: 3 } }), comparable('x', { b: { d: 3, c: 2 }, a: 1 }));
  });
});

describe('states', () => {
  it('are those of the official table, and none goes to itself', () => {
    const legal = POLICY_STATES.flatMap((from) =>
      POLICY_STATES.filter((to) => isTransition(from, to)).map((to) => [from, to]),
    );
    assert.deepEqual(legal, [
      [ISSUING, APPROVED],
      [ISSUING, DECLINED],
      [ISSUING, INACTIVE],
      [APPROVED, INACTIVE],
      [INACTIVE, APPROVED],
    ]);
  });
});
