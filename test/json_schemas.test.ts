import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { Ajv, type ValidateFunction } from 'ajv';
import fc from 'fast-check';
import { recordSchema } from '../policy/record.ts';
import { parse, RuleViolation } from '../policy/violation.ts';
import { merchantSettingsSchema } from '../wechatpay/merchant_settings.ts';
import { recordOf } from './fixtures.ts';
import { anyJson, mutated } from './fuzz_arbitraries.ts';

const ajv = new Ajv({ allErrors: true, formats: { 'date-time': true }, strictRequired: false, strictTypes: false });

async function validatorOf(name: string): Promise<ValidateFunction> {
  return ajv.compile(JSON.parse(await readFile(new URL(`../schemas/${name}`, import.meta.url), 'utf8')));
}

const validRecord = await validatorOf('record.schema.json');
const validMerchants = await validatorOf('merchants.schema.json');

/** A whole record, of every part that a record has. */
const RECORD = recordOf(
  {},
  { upload: { appid: 'wx1', openid: 'o1' }, reinstatement_within: '30d', renewal: { opens_before: '5d' } },
);

const KEY = { serial_no: 'AB12', private_key_file: 'key.pem', certificate_file: 'cert.pem' };
const MERCHANT = {
  merchant_keys: [KEY],
  wechatpay_keys: [{ id: 'PUB_KEY_ID_1', public_key_file: 'pub.pem' }],
  api_v3_key_file: 'key.txt',
  requests_per_second: 20,
  base_urls: ['https://api.mch.weixin.qq.com'],
  paused: true,
};

function isTaken(record: unknown): boolean {
  try {
    parse(recordSchema, record);
    return true;
  } catch (error) {
    if (error instanceof RuleViolation) return false;
    throw error;
  }
}

describe('the JSON Schema of a record', () => {
  it('takes every record that the engine takes', () => {
    const records = fc.oneof(
      mutated(RECORD),
      mutated(RECORD, 'policy'),
      mutated(RECORD, 'upload'),
      mutated(RECORD, 'renewal'),
    );
    let taken = 0;
    fc.assert(
      fc.property(fc.oneof({ arbitrary: records, weight: 9 }, { arbitrary: anyJson, weight: 1 }), ({ value }) => {
        if (!isTaken(value)) return;
        taken++;
        assert.ok(validRecord(value), ajv.errorsText(validRecord.errors));
      }),
      { numRuns: 3000, endOnFailure: true },
    );
    assert.ok(taken > 100, `only ${taken} records were right`);
  });

  const wrong: [what: string, changes: object, settings?: object][] = [
    ['a number with a dash', { out_insurance_no: 'A-1' }],
    ['a name of more than 50 characters', { insurance_name: '险'.repeat(51) }],
    ['an empty name', { insurance_name: '' }],
    ['twelve insured names', { insured_name_list: Array(12).fill('张三') }],
    ['an emoji in clear text', { address: '家😀' }],
    ['a state of no list', { policy_state: 'POLICY_STATE_X' }],
    ['a car policy without car_number', { policy_type: 'POLICY_TYPE_CAR', car_number: undefined }],
    ['a pet policy with an empty pet_name', { policy_type: 'POLICY_TYPE_PET', pet_name: '' }],
    ['APPROVED without policy_code', { policy_state: 'POLICY_STATE_APPROVED', policy_code: undefined }],
    ['cover without an end, and not for life', { expired_time: undefined }],
    ['half a fen', { first_period_amount: 0.5 }],
    ['a flag that is a text', { support_renewal: 'yes' }],
    ['no effective_time', { effective_time: undefined }],
    ['a merchant id with letters', {}, { mchid: 'M1900001' }],
    ['an unknown setting', {}, { adapt: 'push' }],
    ['a setting of no list', {}, { adopt: 'pull' }],
    ['a duration that is none', {}, { retry_alert_after: 'soon' }],
    ['an unknown part of renewal', {}, { renewal: { open_before: '5d' } }],
    ['an upload without openid', {}, { upload: { appid: 'wx1' } }],
  ];
  for (const [what, changes, settings] of wrong)
    it(`refuses ${what}, as the engine does`, () => {
      const record = JSON.parse(JSON.stringify(recordOf(changes, settings)));
      assert.equal(validRecord(record), false);
      assert.equal(isTaken(record), false);
    });

  it('takes $schema, and says a word about every field', () => {
    assert.ok(validRecord({ $schema: 'here', ...RECORD }));
    const { properties } = validRecord.schema as { properties: Record<string, Described> };
    for (const [name, one] of Object.entries(properties)) assertDescribed(name, one);
  });
});

interface Described {
  description?: string;
  properties?: Record<string, Described>;
}

function assertDescribed(name: string, { description, properties = {} }: Described): void {
  assert.ok(description, name);
  for (const [part, of] of Object.entries(properties)) assertDescribed(`${name}.${part}`, of);
}

describe('the JSON Schema of the merchants file', () => {
  it('takes every merchant that the worker takes', () => {
    let taken = 0;
    fc.assert(
      fc.property(mutated(MERCHANT), ({ value }) => {
        if (!merchantSettingsSchema.safeParse(value).success) return;
        taken++;
        assert.ok(validMerchants({ $schema: 'here', '1900000001': value }), ajv.errorsText(validMerchants.errors));
      }),
      { numRuns: 1000, endOnFailure: true },
    );
    assert.ok(taken > 20, `only ${taken} merchants were right`);
  });

  const wrong: [what: string, changes: object][] = [
    ['no key', { merchant_keys: [] }],
    ['a serial that is no hexadecimal', { merchant_keys: [{ ...KEY, serial_no: 'XYZ' }] }],
    ['a key without its file', { merchant_keys: [{ serial_no: 'AB12' }] }],
    [
      'both a public key and a certificate',
      { wechatpay_keys: [{ id: 'A', public_key_file: 'a', certificate_file: 'b' }] },
    ],
    ['neither a public key nor a certificate', { wechatpay_keys: [{ id: 'A' }] }],
    ['no call a second', { requests_per_second: 0 }],
    ['an unknown setting', { base_url: 'https://api.mch.weixin.qq.com' }],
  ];
  for (const [what, changes] of wrong)
    it(`refuses ${what}, as the worker does`, () => {
      const merchant = { ...MERCHANT, ...changes };
      assert.equal(validMerchants({ '1900000001': merchant }), false);
      assert.equal(merchantSettingsSchema.safeParse(merchant).success, false);
    });

  it('refuses a merchant whose id is none', () => {
    assert.equal(validMerchants({ M1: MERCHANT }), false);
  });
});
