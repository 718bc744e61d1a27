import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CommandName, obey } from '../policy/commands.ts';
import { patchOf } from '../policy/difference.ts';
import { dueTimes, heldPolicy, type Life, openedLife } from '../policy/life.ts';
import type { PolicyFields } from '../policy/record.ts';
import { APPROVED, DECLINED, INACTIVE } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { DAY } from './fixtures.ts';
import { approved, NOW, record } from './policy_fixture.ts';

const GIVEN = { start_renewal_time: wireTime(NOW + 310 * DAY), end_renewal_time: wireTime(NOW + 380 * DAY) };
const NEXT_YEAR = wireTime(NOW + 700 * DAY);
const LIFETIME = { coverage_term_type: 'COVERAGE_TERM_TYPE_LIFETIME' } as const;

const opened = (changes: PolicyFields): Life => openedLife(record(changes), NOW);
const obeyed = (life: Life, name: CommandName, input: object): Life => obey(life, name, input, NOW, () => false);
const windowOf = ({ support_renewal, start_renewal_time, end_renewal_time }: PolicyFields) => [
  support_renewal,
  start_renewal_time,
  end_renewal_time,
];
const CLOSED = [false, undefined, undefined];

describe('a window that the record gives, and another term', () => {
  const lapsed = obeyed(opened({ policy_state: APPROVED, ...GIVEN }), 'cancel', { cause: 'LAPSE' });

  for (const [name, before, input] of [
    ['approve', opened(GIVEN), { policy_code: 'C1' }],
    ['reinstate', lapsed, { reason: 'paid' }],
  ] as const) {
    it(`${name} with another expired_time plans anew what does not fit into it`, () => {
      const after = obeyed(before, name, { ...input, expired_time: NEXT_YEAR });
      assert.equal(after.record.policy.policy_state, APPROVED);
      assert.equal(after.window, 'planned');
      assert.deepEqual(windowOf(patchOf(heldPolicy(after), heldPolicy(before))), [
        true,
        wireTime(NOW + 640 * DAY),
        wireTime(NOW + 730 * DAY),
      ]);
    });

    it(`${name} with another expired_time keeps what fits into it`, () => {
      const after = obeyed(before, name, { ...input, expired_time: wireTime(NOW + 360 * DAY) });
      assert.equal(after.window, 'given');
      assert.deepEqual(windowOf(heldPolicy(after)), [true, ...Object.values(GIVEN)]);
    });
  }
});

describe('a window of what nobody renews', () => {
  const surrendered = obeyed(approved(), 'cancel', {});
  const declined = obeyed(opened({}), 'decline', { reason: 'r' });
  const continued = obeyed(approved(), 'renew', { as: 'NEXT1' });
  const half = { start_renewal_time: GIVEN.start_renewal_time };

  for (const [what, life] of Object.entries({ surrendered, declined, continued }))
    for (const [given, fields] of Object.entries({ 'a window': GIVEN, 'half a window': half }))
      it(`${what}, a policy that is given ${given} by an amendment offers no renewal`, () => {
        const after = obeyed(life, 'amend', fields);
        assert.deepEqual(windowOf(heldPolicy(after)), CLOSED);
      });

  for (const [what, name, input] of [
    ['surrendered', 'cancel', {}],
    ['continued', 'renew', { as: 'NEXT1' }],
  ] as const)
    it(`${what} without renewal, a policy that is amended to support it offers none`, () => {
      const over = obeyed(opened({ policy_state: APPROVED, support_renewal: false }), name, input);
      assert.equal(heldPolicy(obeyed(over, 'amend', { support_renewal: true })).support_renewal, false);
    });

  it('continued, a policy with cover for life offers no renewal either', () => {
    const forLife = opened({ policy_state: APPROVED, ...LIFETIME });
    assert.equal(heldPolicy(obeyed(forLife, 'renew', { as: 'NEXT1' })).support_renewal, false);
  });

  it('opened as DECLINED, a record that gives a window has it closed', () => {
    assert.deepEqual(windowOf(heldPolicy(opened({ policy_state: DECLINED, ...GIVEN }))), CLOSED);
  });
});

describe('a window of a policy that is INACTIVE by its record', () => {
  it('is whole where an amendment gives half of it, and is closed by a timer', () => {
    const life = opened({ policy_state: INACTIVE, support_renewal: true });
    const after = obeyed(life, 'amend', { start_renewal_time: GIVEN.start_renewal_time });
    assert.deepEqual(windowOf(heldPolicy(after)), [true, GIVEN.start_renewal_time, wireTime(NOW + 395 * DAY)]);
    assert.deepEqual(dueTimes(after), [{ what: 'window-closes', at: NOW + 395 * DAY }]);
  });

  it('closes with cover for life, and the life ends', () => {
    const after = obeyed(opened({ policy_state: INACTIVE, ...GIVEN }), 'amend', LIFETIME);
    assert.deepEqual(windowOf(heldPolicy(after)), CLOSED);
    assert.deepEqual(
      dueTimes(after).map(({ what }) => what),
      ['end'],
    );
  });
});
