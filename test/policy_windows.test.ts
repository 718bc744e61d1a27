import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { adopted } from '../policy/adoption.ts';
import { type CommandName, obey } from '../policy/commands.ts';
import { patchOf } from '../policy/difference.ts';
import { dueTimes, heldPolicy, type Life, openedLife, settleDue } from '../policy/life.ts';
import type { PolicyFields } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { instantOf, wireTime } from '../policy/time.ts';
import { RuleViolation } from '../policy/violation.ts';
import { DAY } from './fixtures.ts';
import { approved, NOW, record, ruleOf, rulesOf } from './policy_fixture.ts';

describe('windows', () => {
  const given = { start_renewal_time: wireTime(NOW + 320 * DAY), end_renewal_time: wireTime(NOW + 380 * DAY) };
  const expired_time = wireTime(NOW + 730 * DAY);

  it('a renewal with half a window plans the other half: nothing of the old term stays', () => {
    const life = openedLife(record({ policy_state: APPROVED, ...given }), NOW);
    const early = obey(life, 'renew', { expired_time, window: { start_renewal_time: wireTime(NOW + 700 * DAY) } }, NOW);
    assert.equal(heldPolicy(early).end_renewal_time, wireTime(NOW + 760 * DAY));
    const late = obey(life, 'renew', { expired_time, window: { end_renewal_time: wireTime(NOW + 740 * DAY) } }, NOW);
    assert.equal(heldPolicy(late).start_renewal_time, wireTime(NOW + 670 * DAY));
  });

  it('no half that is given makes a window that ends before it starts, or lies outside what WeChat Pay takes', () => {
    const span = fc.integer({ min: 1, max: 60 }).map((days) => `${days}d`);
    const half = fc.constantFrom('start_renewal_time' as const, 'end_renewal_time' as const);
    const days = fc.integer({ min: -59, max: 59 });
    fc.assert(
      fc.property(
        span,
        span,
        half,
        days,
        fc.integer({ min: 1, max: 500 }),
        (opens_before, closes_after, which, day, term) => {
          const end = NOW + term * DAY;
          const changes = { policy_state: APPROVED, expired_time: wireTime(end), [which]: wireTime(end + day * DAY) };
          let life: Life;
          try {
            life = openedLife(record(changes, { renewal: { opens_before, closes_after } }), NOW);
          } catch (error) {
            assert.ok(error instanceof RuleViolation && error.rule === 'renewal-window', String(error));
            return;
          }
          const held = heldPolicy(life);
          assert.deepEqual(rulesOf({ ...held }), []);
          assert.ok((instantOf(held.start_renewal_time) ?? 0) < (instantOf(held.end_renewal_time) ?? 0));
        },
      ),
    );
  });

  it('renew with the same expired_time and other spans plans the window anew', () => {
    const life = openedLife(record({ policy_state: APPROVED, ...given }), NOW);
    const { expired_time: same } = life.record.policy;
    const anew = obey(life, 'renew', { expired_time: same, window: { opens_before: '10d' } }, NOW);
    assert.equal(anew.window, 'planned');
    assert.equal(heldPolicy(anew).start_renewal_time, wireTime(NOW + 355 * DAY));
    assert.equal(obey(anew, 'renew', { expired_time: same, window: { opens_before: '240h' } }, NOW), anew);
  });

  for (const [what, fields] of [
    ['cover for life', { coverage_term_type: 'COVERAGE_TERM_TYPE_LIFETIME' }],
    ['a record without renewal', { support_renewal: false }],
  ] as const)
    it(`an amendment to ${what} closes the window that WeChat Pay has in the same PATCH`, () => {
      const open = settleDue(approved(), NOW + 310 * DAY).life;
      const sent = openedLife(record({ policy_state: APPROVED, ...given }), NOW);
      for (const life of [open, sent]) {
        const after = obey(life, 'amend', fields, NOW);
        const body = patchOf(heldPolicy(after), heldPolicy(life));
        assert.equal(body.support_renewal, false);
        assert.ok(!('start_renewal_time' in body) && !('end_renewal_time' in body));
        assert.deepEqual(
          dueTimes(after).filter(({ what: due }) => due.startsWith('window')),
          [],
        );
      }
    });

  it('a policy that is declined offers no renewal: the window that its record gave closes', () => {
    const declined = obey(openedLife(record(given), NOW), 'decline', { reason: 'r' }, NOW);
    assert.equal(heldPolicy(declined).support_renewal, false);
  });

  it('a window stays closed while another policy continues this one, after a reinstatement too', () => {
    const open = settleDue(approved(), NOW + 310 * DAY).life;
    const continued = obey(open, 'renew', { as: 'NEXT1' }, NOW + 311 * DAY);
    const cancelled = obey(continued, 'cancel', {}, NOW + 312 * DAY);
    const again = obey(cancelled, 'reinstate', { reason: 'paid' }, NOW + 313 * DAY);
    assert.equal(heldPolicy(again).support_renewal, false);
    assert.equal(settleDue(again, NOW + 360 * DAY).life.window, 'closed');
  });

  it('a surrender after expiry closes an open window, and the policy is not renewed', () => {
    const expired = settleDue(approved(), NOW + 366 * DAY).life;
    assert.equal(expired.window, 'open');
    const surrendered = obey(expired, 'cancel', {}, NOW + 367 * DAY);
    assert.equal(heldPolicy(surrendered).support_renewal, false);
    assert.equal(obey(surrendered, 'cancel', {}, NOW + 368 * DAY), surrendered, 'already so');
    const renew = () => obey(surrendered, 'renew', { expired_time }, NOW + 368 * DAY);
    assert.equal(ruleOf(renew), 'illegal-transition');
  });

  it('a surrender after expiry keeps what has no window, too, from being renewed, and a lapse from ending early', () => {
    const expired = settleDue(
      openedLife(record({ policy_state: APPROVED, support_renewal: false }), NOW),
      NOW + 366 * DAY,
    ).life;
    assert.equal(obey(expired, 'renew', { expired_time }, NOW + 368 * DAY).record.policy.policy_state, APPROVED);
    const surrendered = obey(expired, 'cancel', {}, NOW + 367 * DAY);
    assert.equal(
      ruleOf(() => obey(surrendered, 'renew', { expired_time }, NOW + 368 * DAY)),
      'illegal-transition',
    );
    const lapsed = obey(expired, 'cancel', { cause: 'LAPSE' }, NOW + 367 * DAY);
    assert.equal(dueTimes(lapsed)[0]?.at, NOW + (365 + 730) * DAY);
  });

  it('a record of cover for life that names a window all the same has it closed', () => {
    const lifetime = { policy_state: APPROVED, coverage_term_type: 'COVERAGE_TERM_TYPE_LIFETIME' } as const;
    const named = openedLife(record({ ...lifetime, ...given }), NOW);
    const amended = obey(openedLife(record(lifetime), NOW), 'amend', given, NOW);
    for (const life of [named, amended]) {
      const { support_renewal, start_renewal_time, end_renewal_time } = heldPolicy(life);
      assert.deepEqual([support_renewal, start_renewal_time, end_renewal_time], [false, undefined, undefined]);
    }
  });

  it('times that WeChat Pay has for a term to come are closed by a timer once the policy is INACTIVE, and only then it ends', () => {
    const open = settleDue(approved(), NOW + 310 * DAY).life;
    const renewed = obey(open, 'renew', { expired_time }, NOW + 311 * DAY);
    const there: PolicyFields = { ...heldPolicy(renewed), policy_state: INACTIVE };
    const accepted = adopted(renewed, there, ['policy_state'], NOW + 312 * DAY);
    assert.deepEqual(dueTimes(accepted), [{ what: 'window-closes', at: NOW + 760 * DAY }]);
    const closed = settleDue(accepted, NOW + 760 * DAY).life;
    assert.equal(heldPolicy(closed).support_renewal, false);
    assert.deepEqual(
      dueTimes(closed).map(({ what }) => what),
      ['end'],
    );
  });
});

describe('due times', () => {
  it('the window opens 60 days before the end of cover and closes 30 days after it', () => {
    const life = approved();
    const opened = settleDue(life, NOW + 305 * DAY).life;
    assert.equal(opened.window, 'open');
    const { support_renewal, start_renewal_time, end_renewal_time } = heldPolicy(opened);
    assert.deepEqual(
      { support_renewal, start_renewal_time, end_renewal_time },
      {
        support_renewal: true,
        start_renewal_time: wireTime(NOW + 305 * DAY),
        end_renewal_time: wireTime(NOW + 395 * DAY),
      },
    );
    assert.equal(heldPolicy(settleDue(life, NOW + 395 * DAY).life).support_renewal, false);
  });

  it('a window that is given anew after the end of cover is closed by a timer like any other', () => {
    const over = settleDue(approved(), NOW + 366 * DAY).life;
    const amended = obey(over, 'amend', { expired_time: wireTime(NOW + 364 * DAY) }, NOW + 366 * DAY);
    assert.equal(heldPolicy(amended).end_renewal_time, wireTime(NOW + 394 * DAY));
    const closed = settleDue(amended, NOW + 394 * DAY).life;
    assert.equal(heldPolicy(closed).support_renewal, false);
    assert.deepEqual(
      dueTimes(closed).map(({ what }) => what),
      ['end'],
    );
  });

  it('a timer never makes support_renewal true', () => {
    const life = obey(openedLife(record({ support_renewal: false }), NOW), 'approve', { policy_code: 'C' }, NOW);
    for (let day = 0; day < 500; day += 10)
      assert.equal(heldPolicy(settleDue(life, NOW + day * DAY).life).support_renewal, false);
  });

  it('cover for life has no expiry and no window', () => {
    const life = openedLife(record({ coverage_term_type: 'COVERAGE_TERM_TYPE_LIFETIME', policy_state: APPROVED }), NOW);
    assert.deepEqual(dueTimes(life), []);
  });

  it('a surrender closes an open window in its own PATCH', () => {
    const open = settleDue(approved(), NOW + 310 * DAY).life;
    const patch = patchOf(heldPolicy(obey(open, 'cancel', {}, NOW + 311 * DAY)), heldPolicy(open));
    assert.deepEqual(patch, { support_renewal: false, policy_state: INACTIVE, policy_code: 'C1' });
  });

  it('a surrender closes a window, too, whose times WeChat Pay has for a term to come', () => {
    const open = settleDue(approved(), NOW + 310 * DAY).life;
    const renewed = obey(open, 'renew', { expired_time: wireTime(NOW + 730 * DAY) }, NOW + 311 * DAY);
    const surrendered = obey(renewed, 'cancel', {}, NOW + 312 * DAY);
    assert.equal(heldPolicy(surrendered).support_renewal, false);
  });

  it('an ISSUING policy is marked when overdue and when its cover has ended', () => {
    const life = openedLife(record(), NOW);
    assert.deepEqual(settleDue(life, NOW + 3 * DAY).life.attention, ['issuing-overdue']);
    assert.deepEqual(settleDue(life, NOW + 365 * DAY).life.attention, ['issuing-overdue', 'issuing-past-expiry']);
  });

  it('an ended policy can be reinstated for 30 days, a lapsed one for two years', () => {
    const end = (cause: string): number | undefined =>
      dueTimes(obey(approved(), 'cancel', { cause }, NOW)).find(({ what }) => what === 'end')?.at;
    assert.equal(end('SURRENDER'), NOW + 30 * DAY);
    assert.equal(end('LAPSE'), NOW + 730 * DAY);
  });

  it('the next due time never lies in the past once what is due was applied', () => {
    const step = fc.record({
      name: fc.constantFrom<CommandName>('approve', 'decline', 'cancel', 'withdraw', 'renew', 'reinstate', 'amend'),
      after: fc.integer({ min: 0, max: 200 }),
      days: fc.integer({ min: 1, max: 800 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        let life = openedLife(record(), NOW);
        let now = NOW;
        for (const { name, after, days } of steps) {
          now += after * DAY;
          life = settleDue(life, now).life;
          const due = dueTimes(life).filter(({ what, at }) => what !== 'end' && at <= now);
          assert.deepEqual(due, []);
          life = attempt(life, name, days, now);
        }
      }),
    );
  });
});

/** A command with inputs that fit, or the life as it was where the state refuses it. */
function attempt(life: Life, name: CommandName, days: number, now: number): Life {
  const inputs: Record<CommandName, Record<string, unknown>> = {
    approve: { policy_code: `C${days}` },
    decline: { reason: 'r' },
    cancel: days % 2 ? {} : { at: wireTime(now + days * DAY) },
    withdraw: {},
    renew: { expired_time: wireTime(now + days * DAY) },
    reinstate: { reason: 'r', expired_time: wireTime(now + days * DAY) },
    hold: { reason: 'r' },
    unhold: {},
    observe: { on: days % 2 === 0 },
    amend: { address: `road ${days}` },
  };
  try {
    return obey(life, name, inputs[name], now);
  } catch (error) {
    if (error instanceof RuleViolation) return life;
    throw error;
  }
}
