import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { adopted, type CommandName, obey } from '../policy/commands.ts';
import { comparable, differences, patchOf } from '../policy/difference.ts';
import { durationOf } from '../policy/duration.ts';
import { dueTimes, heldPolicy, type Life, openedLife, settleDue } from '../policy/life.ts';
import { type PolicyFields, type PolicyRecord, parsedRecord } from '../policy/record.ts';
import { APPROVED, DECLINED, INACTIVE, ISSUING, isTransition, POLICY_STATES } from '../policy/state.ts';
import { instantOf, timeFault, wireTime } from '../policy/time.ts';
import { RuleViolation } from '../policy/violation.ts';
import { DAY, recordOf, SEED } from './fixtures.ts';

const NOW = Date.parse('2026-01-01T00:00:00Z');

function record(changes: Record<string, unknown> = {}, settings: Record<string, unknown> = {}): PolicyRecord {
  return parsedRecord(recordOf(changes, settings, { now: NOW }));
}

function rulesOf(changes: Record<string, unknown>, settings: Record<string, unknown> = {}): string[] {
  try {
    record(changes, settings);
    return [];
  } catch (error) {
    assert.ok(error instanceof RuleViolation);
    return error.violations.map(({ rule, field }) => `${field.replace('policy.', '')}: ${rule}`);
  }
}

function ruleOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof RuleViolation, String(error));
    return error.rule;
  }
  return 'none';
}

function lived(...steps: [CommandName, Record<string, unknown>][]): Life {
  return steps.reduce((life, [name, input]) => obey(life, name, input, NOW), openedLife(record(), NOW));
}

const approved = (): Life => lived(['approve', { policy_code: 'C1' }]);

describe('record', () => {
  it("takes the seed's example field by field, its times moved", () => {
    const { policy } = record();
    for (const [field, value] of Object.entries(SEED))
      if (!field.endsWith('_time')) assert.deepEqual(policy[field], value, field);
  });

  it('refuses names that the contract has not, with the nearest one, unless its extra_fields name them', () => {
    const messageOf = (changes: object, settings: Record<string, unknown> = {}): string => {
      try {
        record(changes as Record<string, unknown>, settings);
      } catch (error) {
        assert.ok(error instanceof RuleViolation && error.rule === 'unknown-field', String(error));
        return error.message;
      }
      return 'none';
    };
    assert.match(messageOf({ adress: 'x' }), /^policy\.adress: there is no such name, the nearest is address;/);
    assert.match(messageOf({ insured_names_list: ['x'] }), /nearest is insured_name_list/);
    assert.match(messageOf({ fields: {} }), /^policy\.fields: there is no such name; .* extra_fields$/);
    assert.match(messageOf({}, { upload: { appid: 'wx1', openid: 'o1', opendi: 'o2' } }), /upload\.opendi: .*openid/);
    assert.match(messageOf({}, { retry_alert_afer: '1m' }), /nearest is retry_alert_after/);
    assert.match(messageOf({}, { verification: { evry: '7d' } }), /nearest is every/);
    assert.equal(record({ brand_new: 'x' }, { extra_fields: ['brand_new'] }).policy.brand_new, 'x');
  });

  it('names the first few of many that the contract has not, and looks at no more values than a task has time for', () => {
    const named = (length: number) => Object.fromEntries(Array.from({ length }, (_, at) => [`name_${at}`, at]));
    const refused = (run: () => unknown): RuleViolation => {
      let violation: unknown;
      assert.throws(run, (error) => {
        violation = error;
        return error instanceof RuleViolation;
      });
      return violation as RuleViolation;
    };
    const life = openedLife(record(), NOW);
    const ways = (many: Record<string, unknown>): (() => unknown)[] => [
      () => parsedRecord(recordOf({}, many)),
      () => parsedRecord(recordOf(many)),
      () => parsedRecord(recordOf({}, { upload: { appid: 'wx1', openid: 'o1', ...many } })),
      ...(['cancel', 'amend'] as const).map((name) => () => obey(life, name, many, NOW)),
    ];
    for (const way of ways(named(1000))) assert.doesNotMatch(refused(way).message, /name_5/);
    assert.match(refused(() => parsedRecord(recordOf({}, named(1000)))).message, /name_4: .*, and 995 more$/);
    const both = refused(() =>
      parsedRecord(recordOf(named(6), { upload: { appid: 'wx1', openid: 'o1', opendi: 'o2' } })),
    );
    assert.deepEqual(
      both.violations.map(({ field }) => field),
      [...Array.from({ length: 5 }, (_, at) => `policy.name_${at}`), 'policy', 'upload.opendi'],
    );
    const extra_fields = Array.from({ length: 60 }, (_, at) => `field_${at}`);
    const extended = obey(life, 'amend', { extra_fields }, NOW);
    const more = refused(() => obey(extended, 'amend', { extra_fields: extra_fields.map((name) => `${name}x`) }, NOW));
    assert.deepEqual([more.rule, more.violations[0]?.field], ['too-long', 'extra_fields']);
    for (const many of [named(20_000), { policy_periods: Array.from({ length: 20_000 }, () => ' ') }])
      for (const way of ways(many)) assert.equal(refused(way).rule, 'too-large');
  });

  it('takes null for absent', () => {
    const given = {
      ...recordOf({ pet_name: null } as object, {}, { now: NOW }),
      adopt: null,
      upload: null,
      renewal: { opens_before: null },
    };
    const { pet_name: _, ...policy } = record().policy;
    assert.deepEqual(parsedRecord(given), { ...record(), policy });
  });

  it('lets no text pass that cannot be sent or seen, in whatever field it is', () => {
    const part = fc.constantFrom('张', 'a', ' ', '\u3000', '\u200b', '\ufeff', '\ud83d', '\udc00', '\0', '\u2800');
    const field = fc.constantFrom(
      'insurance_name',
      'address',
      'pet_name',
      'policy_code',
      'out_contract_code',
      'plan_id',
      'extra',
    );
    fc.assert(
      fc.property(field, fc.array(part, { minLength: 1, maxLength: 4 }), (name, parts) => {
        const value = parts.join('');
        const whole = Buffer.from(value).toString() === value && !value.includes('\0');
        const seen = parts.some((one) => ['张', 'a'].includes(one));
        const rules = rulesOf({ [name]: value }, { extra_fields: ['extra'] }).map((rule) => rule.split(': ')[1]);
        // A pair of halves is one character, of 4 bytes.
        if (rules.includes('wide-character')) return;
        const expected = [...(whole ? [] : ['ill-formed']), ...(seen || !whole || name === 'extra' ? [] : ['blank'])];
        if (whole || name === 'extra') assert.deepEqual(rules, expected);
        else assert.ok(rules.includes('ill-formed'));
      }),
    );
  });

  it('says why a time is refused', () => {
    for (const [given, why] of [
      ['2027-02-29T00:00:00+08:00', /a day that February 2027 has, 01 to 28/],
      ['2026-06-31T00:00:00Z', /a day that June 2026 has, 01 to 30/],
      ['2026-06-30T24:00:00+08:00', /midnight is 00:00:00 of the next day/],
      ['2026-13-01T00:00:00Z', /a month from 01 to 12, has 13/],
      ['2026-06-30T23:59:60Z', /seconds from 00 to 59, has 60/],
      ['2026-06-30T23:59:59+24:00', /an offset from -23:59 to \+23:59/],
      ['9999-12-31T23:59:59Z', /years 0001 to 9999/],
      ['2026-06-30 23:59:59', /an RFC 3339 time with an offset/],
    ] as const) {
      assert.match(timeFault(given) ?? 'none', why, given);
      assert.deepEqual(rulesOf({ effective_time: given }), ['effective_time: time']);
    }
    assert.equal(timeFault('2028-02-29T00:00:00+08:00'), undefined);
  });

  for (const [what, changes, expected] of [
    ['a number of more than 32 characters', { out_insurance_no: 'A'.repeat(33) }, 'out_insurance_no: insurance-number'],
    ['a number with a dash', { out_insurance_no: 'A-1' }, 'out_insurance_no: insurance-number'],
    ['a name of more than 50 characters', { insurance_name: '险'.repeat(51) }, 'insurance_name: too-long'],
    ['twelve insured names', { insured_name_list: Array(12).fill('张三') }, 'insured_name_list: too-long'],
    ['a name that RSA cannot seal', { insured_name_list: ['张'.repeat(72)] }, 'insured_name_list.0: too-long'],
    ['half of a surrogate pair in a name', { insured_name_list: ['张\udc00'] }, 'insured_name_list.0: ill-formed'],
    ['half of a surrogate pair in clear text', { pet_name: '\ud83d' }, 'pet_name: ill-formed'],
    ['half of a surrogate pair in policy_code', { policy_code: 'C\ud800' }, 'policy_code: ill-formed'],
    ['a name of blanks', { insured_name_list: ['张三', ' \u3000'] }, 'insured_name_list.1: blank'],
    ['a product of invisible characters', { insurance_name: '\u200b\u2060' }, 'insurance_name: blank'],
    ['a car whose number is a blank', { policy_type: 'POLICY_TYPE_CAR', car_number: ' ' }, 'car_number: blank'],
    ['an emoji in clear text', { address: '家😀' }, 'address: wide-character'],
    ['a time without an offset', { effective_time: '2025-09-21T17:11:12' }, 'effective_time: time'],
    ['30 February', { effective_time: '2025-02-30T00:00:00Z' }, 'effective_time: time'],
    ['cover that ends as it begins', { expired_time: wireTime(NOW - DAY) }, 'expired_time: expired-after-effective'],
    ['a car policy without car_number', { policy_type: 'POLICY_TYPE_CAR', car_number: '' }, 'car_number: car-number'],
    ['a pet policy without pet_name', { policy_type: 'POLICY_TYPE_PET', pet_name: '' }, 'pet_name: pet-name'],
    ['APPROVED without policy_code', { policy_state: APPROVED, policy_code: '' }, 'policy_code: policy-code'],
    [
      'a window over 60 days early',
      { start_renewal_time: wireTime(NOW + 304 * DAY) },
      'start_renewal_time: renewal-window',
    ],
    ['half a fen', { first_period_amount: 0.5 }, 'first_period_amount: amount'],
    ['a state of no list', { policy_state: 'POLICY_STATE_X' }, 'policy_state: enum'],
  ] as const)
    it(`refuses ${what}`, () => assert.deepEqual(rulesOf(changes), [expected]));

  it('refuses a number that JSON reads as Infinity: written again it would be null', () => {
    const changes = { a_field_of_tomorrow: [JSON.parse('1.8e308')] };
    assert.deepEqual(rulesOf(changes, { extra_fields: ['a_field_of_tomorrow'] }), ['a_field_of_tomorrow: ill-formed']);
  });

  it('lets names have 4-byte characters, for they travel sealed', () => {
    assert.deepEqual(rulesOf({ insured_name_list: ['𠮷野'] }), []);
  });

  it('counts 50 characters, not bytes or code units', () => {
    assert.deepEqual(rulesOf({ insurance_name: '险'.repeat(50) }), []);
  });

  it('says field, expectation and found value, of a personal field no value', () => {
    const messageOf = (changes: Record<string, unknown>): string => {
      try {
        record(changes);
      } catch (error) {
        return (error as Error).message;
      }
      return '';
    };
    for (const [changes, said] of [
      [{ policy_type: 'POLICY_TYPE_X' }, /^policy\.policy_type: .*POLICY_TYPE_OTHER.*, found "POLICY_TYPE_X"$/],
      [{ support_renewal: 'yes' }, /^policy\.support_renewal: expected true or false, found "yes"$/],
      [{ first_period_amount: 0.5 }, /^policy\.first_period_amount: expected a whole number of fen, found 0\.5$/],
      [{ policy_periods: [1, 'x'] }, /^policy\.policy_periods\.1: .*number.*, found "x"$/],
      [{ expired_time: wireTime(NOW - DAY) }, /^policy\.expired_time: expected a time after .*, found "20\d\d-/],
      [{ plan_id: 2 ** 53 }, /^policy\.plan_id: expected a whole number; one of 16 digits or more as text, found 9/],
      [{ effective_time: 'soon' }, /^policy\.effective_time: expected an RFC 3339 time .*, found "soon"$/],
    ] as const)
      assert.match(messageOf(changes), said);
    for (const changes of [{ address: '绝密路1号😀' }, { insured_name_list: ['绝密', 7] }, { pet_name: { 绝密: 1 } }])
      assert.doesNotMatch(messageOf(changes), /绝密|found (?!an? |text)/);
  });

  it('says what it expected and what it found in words of its own', () => {
    const said = (input: unknown): string => {
      try {
        return JSON.stringify(parsedRecord(input));
      } catch (error) {
        return (error as Error).message;
      }
    };
    const of = (policy: object): unknown => ({ ...recordOf(), policy: { ...recordOf().policy, ...policy } });
    for (const [input, message] of [
      [[], 'record: expected an object, found a list'],
      [{ ...recordOf(), mchid: 7 }, 'mchid: expected text, found a number'],
      [{ ...recordOf(), adopt: 'pull' }, 'adopt: expected one of push, remote, report'],
      [of({ address: {} }), 'policy.address: expected text, found an object'],
      [of({ support_renewal: 'yes' }), 'policy.support_renewal: expected true or false, found "yes"'],
      [of({ policy_periods: [-1] }), 'policy.policy_periods.0: expected at least 0, found -1'],
      [of({ policy_periods: {} }), 'policy.policy_periods: expected a list, found an object'],
    ] as const)
      assert.equal(said(input), message);
  });

  it('lets cover for life have no end', () => {
    assert.deepEqual(rulesOf({ coverage_term_type: 'COVERAGE_TERM_TYPE_LIFETIME', expired_time: undefined }), []);
  });
});

describe('times and durations', () => {
  it('an instant survives its wire form to the second', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4102444800 }), (seconds) => {
        const wire = wireTime(seconds * 1000);
        assert.equal(wire.length, 25);
        assert.equal(instantOf(wire), seconds * 1000);
      }),
    );
  });

  it('nothing that is computed leaves the years that RFC 3339 has', () => {
    const last = '9999-12-31T23:59:59+08:00';
    const life = openedLife(record({ policy_state: APPROVED, end_renewal_time: wireTime(NOW + 370 * DAY) }), NOW);
    const renewed = obey(life, 'renew', { expired_time: last }, NOW);
    const { start_renewal_time, end_renewal_time } = heldPolicy({ ...renewed, window: 'open' });
    assert.deepEqual([start_renewal_time, end_renewal_time], ['9999-11-01T23:59:59+08:00', last]);
    fc.assert(
      fc.property(fc.integer({ min: -1e15, max: 1e15 }), (instant) => {
        assert.match(wireTime(instant), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+08:00$/);
        assert.notEqual(instantOf(wireTime(instant)), undefined);
      }),
    );
  });

  it('durations read as the Temporal SDK reads them', () => {
    const read = ['60d', '30 days', '15s', '1.5h', '2 weeks', '100ms', '1m'].map(durationOf);
    assert.deepEqual(read, [60 * DAY, 30 * DAY, 15000, 5400000, 14 * DAY, 100, 60000]);
    for (const bad of ['', 'x', '5', '-1d', '1y']) assert.equal(durationOf(bad), undefined, bad);
  });
});

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
    amend: { address: `road ${days}` },
  };
  try {
    return obey(life, name, inputs[name], now);
  } catch (error) {
    if (error instanceof RuleViolation) return life;
    throw error;
  }
}

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
