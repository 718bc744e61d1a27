import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type CommandName, obey } from '../policy/commands.ts';
import { patchOf } from '../policy/difference.ts';
import { dueTimes, heldPolicy, type Life, openedLife, settleDue } from '../policy/life.ts';
import { APPROVED, INACTIVE, ISSUING, POLICY_STATES } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { RuleViolation } from '../policy/violation.ts';
import { DAY } from './fixtures.ts';
import { approved, lived, NOW, record, ruleOf } from './policy_fixture.ts';

describe('commands', () => {
  for (const [name, input, from] of [
    ['approve', { policy_code: 'C' }, [ISSUING]],
    ['decline', { reason: 'r' }, [ISSUING]],
    ['cancel', {}, [ISSUING, APPROVED]],
    ['reinstate', { reason: 'r' }, [INACTIVE]],
    ['renew', { expired_time: wireTime(NOW + 700 * DAY) }, [APPROVED]],
  ] as const)
    it(`${name} is legal from ${from.join(', ')} only, and elsewhere refused or already so`, () => {
      for (const state of POLICY_STATES) {
        const life = openedLife(record({ policy_state: state }), NOW);
        const rule = ruleOf(() => {
          const after = obey(life, name, input, NOW);
          if (after === life) throw new RuleViolation([{ field: '', rule: 'unchanged', message: '' }]);
        });
        if ((from as readonly string[]).includes(state)) assert.equal(rule, 'none', state);
        else assert.ok(['illegal-transition', 'unchanged'].includes(rule), `${state}: ${rule}`);
      }
    });

  it('a cancellation to come waits, and withdraw takes it back', () => {
    const life = obey(approved(), 'cancel', { at: wireTime(NOW + DAY) }, NOW);
    assert.equal(life.record.policy.policy_state, APPROVED);
    assert.ok(dueTimes(life).some(({ what, at }) => what === 'cancellation' && at === NOW + DAY));
    assert.equal(obey(life, 'withdraw', {}, NOW).cancellation, undefined);
    assert.equal(settleDue(life, NOW + DAY).life.record.policy.policy_state, INACTIVE);
  });

  it('a cancellation whose time has passed acts now and keeps the business date', () => {
    const at = wireTime(NOW - DAY);
    const life = obey(approved(), 'cancel', { at, cause: 'LAPSE' }, NOW);
    assert.deepEqual(life.inactive, { cause: 'LAPSE', since: NOW, business_date: at });
  });

  it('amend replaces and never empties, and leaves number and state alone', () => {
    assert.equal(
      ruleOf(() => obey(approved(), 'amend', { address: '' }, NOW)),
      'cannot-clear',
    );
    assert.equal(
      ruleOf(() => obey(approved(), 'amend', { insured_name_list: [] }, NOW)),
      'cannot-clear',
    );
    assert.equal(
      ruleOf(() => obey(approved(), 'amend', { policy_state: INACTIVE }, NOW)),
      'not-amendable',
    );
    assert.equal(
      ruleOf(() => obey(approved(), 'amend', { out_insurance_no: 'B' }, NOW)),
      'not-amendable',
    );
    assert.equal(
      ruleOf(() => obey(approved(), 'amend', { expired_time: wireTime(NOW - 2 * DAY) }, NOW)),
      'expired-after-effective',
    );
    const life = approved();
    assert.equal(obey(life, 'amend', { plan_id: '12535' }, NOW), life, 'plan_id 12535 is "12535"');
  });

  it('amend gives, mends and takes back upload data, checked as at open, until WeChat Pay has the policy', () => {
    const never = (): boolean => false;
    const amend = (life: Life, input: object): Life => obey(life, 'amend', input, NOW, never);
    const given = amend(approved(), { upload: { appid: 'wx1', openid: 'o1', payee_mchid: '1' } });
    assert.deepEqual(given.record.upload, { appid: 'wx1', openid: 'o1', payee_mchid: '1' });
    const mended = amend(given, { upload: { openid: 'o2', payee_mchid: null } });
    assert.deepEqual(mended.record.upload, { appid: 'wx1', openid: 'o2' });
    assert.deepEqual(amend(given, { openid: 'o2' }).record.upload?.openid, 'o2');
    assert.equal(amend(given, { upload: { openid: 'o1' } }), given);
    for (const [input, message] of [
      [{ upload: { appid: 'wx1' } }, 'upload.openid: expected text, found nothing'],
      [{ upload: [] }, 'upload: expected an object, found a list'],
      [{ upload: { appid: 'wx1', openid: '' } }, 'upload.openid: expected text, found none'],
    ] as const)
      assert.throws(() => amend(approved(), input), { message });
    assert.throws(() => amend(approved(), { upload: { apid: 'wx1', openid: 'o' } }), /nearest is appid/);
    const there: Life = { ...given, known_there: true };
    for (const late of [{ upload: { openid: 'o3' } }, { openid: 'o3' }, { insurance_company_code: 'C' }])
      assert.throws(() => amend(there, late), { rule: 'not-amendable' });
  });

  it('amend refuses names that the contract has not, unless the record names them, or the amendment does', () => {
    const amended = (input: object) => obey(approved(), 'amend', input, NOW);
    assert.equal(
      ruleOf(() => amended({ adress: 'x' })),
      'unknown-field',
    );
    assert.equal(
      ruleOf(() => amended({ fields: { address: 'x' } })),
      'unknown-field',
    );
    const after = amended({ extra_fields: ['brand_new'], brand_new: 1 });
    assert.equal(after.record.policy.brand_new, 1);
    assert.equal(obey(after, 'amend', { brand_new: 2 }, NOW).record.policy.brand_new, 2);
  });

  it('amend takes what is said for what we want: a false is one, and an order of names', () => {
    const before = lived(['amend', { insured_name_list: ['甲', '乙'] }]);
    assert.equal(obey(before, 'amend', { free_insurance: false }, NOW).record.policy.free_insurance, false);
    const turned = obey(before, 'amend', { insured_name_list: ['乙', '甲'] }, NOW);
    assert.deepEqual(turned.record.policy.insured_name_list, ['乙', '甲']);
    const priced = obey(before, 'amend', { first_period_amount: 100 }, NOW);
    assert.equal(obey(priced, 'amend', { first_period_amount: 0 }, NOW).record.policy.first_period_amount, 0);
  });

  it('say of a message of several shapes what is wrong by the nearest', () => {
    assert.throws(() => obey(approved(), 'renew', { expire_time: wireTime(NOW + 700 * DAY) }, NOW), {
      message: /^expired_time: .*; record: expire_time: there is no such name, the nearest is expired_time$/,
    });
    assert.throws(() => obey(approved(), 'renew', { as: 'A-1' }, NOW), { message: /^as: / });
  });

  it('take null for absent, but in the fields of an amendment', () => {
    const life = obey(openedLife(record(), NOW), 'approve', { policy_code: 'C1', effective_time: null, by: null }, NOW);
    assert.equal(life.record.policy.policy_state, APPROVED);
    assert.equal(
      ruleOf(() => obey(life, 'amend', { address: null, event_id: null }, NOW)),
      'cannot-clear',
    );
    const window = { opens_before: '5d', closes_after: null };
    const renewed = obey(life, 'renew', { expired_time: wireTime(NOW + 700 * DAY), window, as: null }, NOW);
    assert.deepEqual(renewed.record.renewal, { opens_before: '5d', closes_after: '30d' });
  });

  it('renew makes a new term of the same number, APPROVED again after expiry, its window planned anew', () => {
    const expired = settleDue(approved(), NOW + 366 * DAY).life;
    assert.equal(expired.record.policy.policy_state, INACTIVE);
    const renewed = obey(expired, 'renew', { expired_time: wireTime(NOW + 730 * DAY) }, NOW + 366 * DAY);
    assert.equal(renewed.record.policy.policy_state, APPROVED);
    assert.equal(renewed.window, 'planned');
    assert.ok(dueTimes(renewed).some(({ what, at }) => what === 'window-opens' && at === NOW + 670 * DAY));
    assert.equal(heldPolicy(renewed).end_renewal_time, wireTime(NOW + 760 * DAY), 'no window of the former term stays');
    assert.equal(
      ruleOf(() => obey(expired, 'renew', { expired_time: wireTime(NOW + 10 * DAY) }, NOW)),
      'renewal-term',
    );
  });

  it('renew takes the window that the record gave of the former term for over', () => {
    const given = { start_renewal_time: wireTime(NOW + 320 * DAY), end_renewal_time: wireTime(NOW + 380 * DAY) };
    const life = openedLife(record({ policy_state: APPROVED, ...given }), NOW);
    const renewed = obey(life, 'renew', { expired_time: wireTime(NOW + 730 * DAY) }, NOW);
    assert.equal(renewed.window, 'planned');
    assert.equal(heldPolicy(renewed).start_renewal_time, wireTime(NOW + 670 * DAY));
    assert.equal(obey(life, 'renew', { expired_time: life.record.policy.expired_time }, NOW), life, 'already so');
  });

  it('a cancellation that the end of cover came before does not end the next term', () => {
    const cancelled = obey(approved(), 'cancel', { at: wireTime(NOW + 370 * DAY) }, NOW);
    const expired = settleDue(cancelled, NOW + 366 * DAY).life;
    const late = NOW + 375 * DAY;
    const expired_time = wireTime(NOW + 730 * DAY);
    for (const again of [
      obey(expired, 'renew', { expired_time }, late),
      obey(expired, 'reinstate', { reason: 'paid', expired_time }, late),
    ])
      assert.equal(settleDue(again, late + DAY).life.record.policy.policy_state, APPROVED);
  });

  it('no policy continues itself: its window would stay closed', () => {
    const life = approved();
    const renew = () => obey(life, 'renew', { as: life.record.policy.out_insurance_no }, NOW);
    assert.equal(ruleOf(renew), 'continued-by-itself');
  });

  it('another policy that continues this one closes its window', () => {
    const open = settleDue(approved(), NOW + 310 * DAY).life;
    assert.equal(open.window, 'open');
    const continued = obey(open, 'renew', { as: 'NEXT1' }, NOW + 311 * DAY);
    assert.equal(heldPolicy(continued).support_renewal, false);
  });

  it('a reinstatement needs cover to come', () => {
    const expired = settleDue(approved(), NOW + 366 * DAY).life;
    const late = NOW + 367 * DAY;
    assert.equal(
      ruleOf(() => obey(expired, 'reinstate', { reason: 'paid' }, late)),
      'expired',
    );
    const again = obey(expired, 'reinstate', { reason: 'paid', expired_time: wireTime(NOW + 400 * DAY) }, late);
    assert.equal(again.record.policy.policy_state, APPROVED);
  });
});

describe('cancellations', () => {
  const expired_time = wireTime(NOW + 730 * DAY);

  it('one dated after the end of the term never ends the next, whichever of renewal and expiry comes first', () => {
    const cancelled = obey(approved(), 'cancel', { at: wireTime(NOW + 370 * DAY) }, NOW);
    const renewed = obey(cancelled, 'renew', { expired_time }, NOW + DAY);
    assert.equal(renewed.cancellation, undefined);
    assert.equal(settleDue(renewed, NOW + 400 * DAY).life.record.policy.policy_state, APPROVED);
  });

  it('one dated before the end of the term makes renew refuse until it is withdrawn', () => {
    for (const days of [100, 365]) {
      const cancelled = obey(approved(), 'cancel', { at: wireTime(NOW + days * DAY) }, NOW);
      assert.equal(
        ruleOf(() => obey(cancelled, 'renew', { expired_time }, NOW)),
        'cancellation-pending',
      );
      const withdrawn = obey(cancelled, 'withdraw', {}, NOW);
      assert.equal(obey(withdrawn, 'renew', { expired_time }, NOW).record.policy.expired_time, expired_time);
    }
  });

  it('a cancellation takes the policy_code that WeChat Pay asks for, and is refused where there is none', () => {
    const life = openedLife(record({ policy_code: undefined }), NOW);
    for (const at of [undefined, wireTime(NOW + DAY)])
      assert.equal(
        ruleOf(() => obey(life, 'cancel', { at }, NOW)),
        'policy-code',
      );
    const cancelled = obey(life, 'cancel', { policy_code: 'C9' }, NOW);
    assert.deepEqual(patchOf(heldPolicy(cancelled), heldPolicy(life)), {
      policy_state: INACTIVE,
      policy_code: 'C9',
    });
    const later = obey(life, 'cancel', { policy_code: 'C9', at: wireTime(NOW + DAY) }, NOW);
    assert.equal(settleDue(later, NOW + 2 * DAY).life.record.policy.policy_code, 'C9');
    const mended = obey(
      openedLife(record({ policy_code: undefined, policy_state: INACTIVE }), NOW),
      'cancel',
      { policy_code: 'C9' },
      NOW,
    );
    assert.equal(mended.record.policy.policy_code, 'C9');
  });

  it('the policy_code that goes with INACTIVE is not taken back while a surrender is to come, or may be on its way', () => {
    const uncoded = openedLife(record({ policy_code: undefined }), NOW);
    const obeyed = (life: Life, name: CommandName, input: object): Life => obey(life, name, input, NOW, () => false);
    const cancelled = [undefined, wireTime(NOW + DAY)].map((at) =>
      obeyed(uncoded, 'cancel', { at, policy_code: 'C9' }),
    );
    for (const life of cancelled)
      assert.equal(
        ruleOf(() => obeyed(life, 'amend', { policy_code: null })),
        'policy-code',
      );
    const [, later = uncoded] = cancelled;
    const withdrawn = obeyed(later, 'withdraw', {});
    assert.equal(obeyed(withdrawn, 'amend', { policy_code: null }).record.policy.policy_code, undefined);
  });
});

describe('what WeChat Pay does not hold', () => {
  it('is taken back by an amendment with null, what it holds, or may, is not, and no rule of the record is broken', () => {
    const life = openedLife(record({ pet_color: 'brown' }, { extra_fields: ['pet_color', 'never_had'] }), NOW);
    const taken = obey(life, 'amend', { pet_color: null, never_had: null }, NOW, () => false);
    assert.ok(!('pet_color' in taken.record.policy));
    assert.equal(
      ruleOf(() => obey(life, 'amend', { pet_color: null }, NOW)),
      'cannot-clear',
    );
    assert.equal(
      ruleOf(() => obey(life, 'amend', { pet_color: '' }, NOW, () => false)),
      'cannot-clear',
    );
    assert.notEqual(
      ruleOf(() => obey(life, 'amend', { insurance_name: null }, NOW, () => false)),
      'none',
    );
  });
});
