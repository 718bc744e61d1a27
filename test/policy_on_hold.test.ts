import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CommandName, obey } from '../policy/commands.ts';
import { type Life, openedLife, settleDue } from '../policy/life.ts';
import { APPROVED } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { DAY } from './fixtures.ts';
import { approved, NOW, record, ruleOf } from './policy_fixture.ts';

describe('on hold, a date that has passed has come', () => {
  const held = (life: Life): Life => obey(life, 'hold', { reason: 'audit' }, NOW);
  const expired_time = wireTime(NOW + 700 * DAY);
  const LATE = NOW + 20 * DAY;
  const later = (life: Life, name: CommandName, input: object, now = LATE): Life => obey(life, name, input, now);
  const due = { at: wireTime(NOW + 10 * DAY) };
  const toCancel = held(obey(approved(), 'cancel', due, NOW));
  const issuing = held(obey(openedLife(record(), NOW), 'cancel', due, NOW));

  for (const [name, life, input] of [
    ['withdraw', toCancel, {}],
    ['renew', toCancel, { expired_time }],
    ['withdraw', issuing, {}],
    ['approve', issuing, { policy_code: 'C1' }],
    ['decline', issuing, { reason: 'r' }],
  ] as const)
    it(`${name} of what ${life === issuing ? 'was ISSUING' : 'was in force'} when a surrender came due is refused`, () => {
      const rule = ruleOf(() => later(life, name, input));
      assert.equal(rule, 'illegal-transition');
    });

  it('another cancel neither moves the surrender to a later date nor gives it another cause', () => {
    const again = later(toCancel, 'cancel', { at: wireTime(NOW + 300 * DAY), cause: 'LAPSE' });
    const unheld = settleDue(later(again, 'unhold', {}), LATE).life;
    assert.deepEqual(unheld.inactive, { cause: 'SURRENDER', since: NOW + 10 * DAY });
  });

  it('reinstate takes back a surrender that has come', () => {
    const again = later(toCancel, 'reinstate', { reason: 'paid' });
    assert.ok(again.hold);
    const unheld = settleDue(later(again, 'unhold', {}), NOW + 100 * DAY).life;
    assert.equal(unheld.record.policy.policy_state, APPROVED);
  });

  it('a surrender after the end of cover keeps the policy from being renewed', () => {
    const now = NOW + 370 * DAY;
    const over = later(held(approved()), 'cancel', { at: wireTime(now + DAY) }, now);
    const renew = () => later(over, 'renew', { expired_time }, now);
    assert.equal(ruleOf(renew), 'illegal-transition');
  });
});
