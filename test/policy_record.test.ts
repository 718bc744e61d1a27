import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { obey } from '../policy/commands.ts';
import { durationOf } from '../policy/duration.ts';
import { heldPolicy, openedLife } from '../policy/life.ts';
import { parsedRecord } from '../policy/record.ts';
import { APPROVED } from '../policy/state.ts';
import { instantOf, timeFault, wireTime } from '../policy/time.ts';
import { RuleViolation } from '../policy/violation.ts';
import { DAY, recordOf, SEED } from './fixtures.ts';
import { NOW, record, rulesOf } from './policy_fixture.ts';

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
