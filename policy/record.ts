import { z } from 'zod';
import { durationSchema } from './duration.ts';
import { MOST_NAMED, noSuchName, noSuchNames } from './names.ts';
import type { RuleName } from './rules.ts';
import { APPROVED, POLICY_STATES } from './state.ts';
import { atMost, type Check, checked, isWellFormed, notEmpty, stated, threeByteCharacters, visible } from './text.ts';
import { instantOf, timeFault, toWireTime } from './time.ts';
import { parse } from './violation.ts';
import { described, POLICY_WORDS, RECORD_WORDS, RENEWAL_WORDS, UPLOAD_WORDS, VERIFICATION_WORDS } from './words.ts';

export { workflowIdOf } from './workflow_id.ts';

export const POLICY_TYPES = [
  'POLICY_TYPE_OTHER',
  'POLICY_TYPE_MEDICAL',
  'POLICY_TYPE_ACCIDENT',
  'POLICY_TYPE_CRITICAL',
  'POLICY_TYPE_CAR',
  'POLICY_TYPE_LIFE',
  'POLICY_TYPE_PROPERTY',
  'POLICY_TYPE_PET',
  'POLICY_TYPE_ANNUITY',
] as const;

/** Cover without end: no expiry, no renewal window. */
export const LIFETIME = 'COVERAGE_TERM_TYPE_LIFETIME';

/** The furthest that a renewal window may reach from the end of cover, either way. */
export const WINDOW_LIMIT = '60d';
const WINDOW_LIMIT_MS = 60 * 24 * 60 * 60 * 1000;

const NUMBER = /^[0-9A-Za-z]{1,32}$/;
const MOST_NAMES = 11;
// RSA-2048 OAEP with SHA-1 seals at most 214 bytes (RFC 8017, 7.1.1: k - 2·20 - 2).
const MOST_NAME_BYTES = 214;

// Many times what any policy needs, and little enough that Temporal and MongoDB take it whole with its history.
const MOST_CHARACTERS = 16_384;

const number = stated({ pattern: NUMBER.source }, (value) =>
  NUMBER.test(value) ? undefined : { rule: 'insurance-number', message: 'expected 1 to 32 letters and digits' },
);

const time = stated({ format: 'date-time' }, (value) => {
  const message = timeFault(value);
  return message === undefined ? undefined : { rule: 'time', message };
});

const nameFits: Check = (value) =>
  new TextEncoder().encode(value).length > MOST_NAME_BYTES
    ? { rule: 'too-long', message: `expected at most ${MOST_NAME_BYTES} bytes in UTF-8` }
    : undefined;

const amount = z
  .custom<number>((value) => Number.isSafeInteger(value) && (value as number) >= 0, {
    error: 'expected a whole number of fen',
    params: { rule: 'amount' satisfies RuleName },
  })
  .meta({ type: 'integer', minimum: 0 });

const planNumber = z.number().int({ error: 'expected a whole number; one of 16 digits or more as text' }).nonnegative();

function text(most?: number): z.ZodType<string, string> {
  return checked(visible, threeByteCharacters, ...(most === undefined ? [] : [atMost(most)]));
}

function timeField(): z.ZodType<string, string> {
  return checked(time).transform(toWireTime);
}

const fields = described(
  {
    out_insurance_no: checked(number),
    insurance_name: checked(notEmpty, visible, threeByteCharacters, atMost(50)),
    insured_name_list: z
      .array(checked(notEmpty, visible, nameFits))
      .max(MOST_NAMES, { error: `expected at most ${MOST_NAMES} names` })
      .optional(),
    insurance_company_code: text(32).optional(),
    effective_time: timeField(),
    expired_time: timeField().optional(),
    coverage_detail: text().optional(),
    support_renewal: z.boolean().optional(),
    start_renewal_time: timeField().optional(),
    end_renewal_time: timeField().optional(),
    policy_type: z.enum(POLICY_TYPES),
    car_number: text().optional(),
    pet_name: text().optional(),
    address: text().optional(),
    policy_state: z.enum(POLICY_STATES),
    policy_code: text().optional(),
    plan_id: z.union([planNumber, checked(notEmpty, visible, threeByteCharacters)]).optional(),
    out_contract_code: text(32).optional(),
    policy_periods: z.array(z.number().int().nonnegative()).optional(),
    free_insurance: z.boolean().optional(),
    combined_payment: z.boolean().optional(),
    payment_method: z.enum(['PAYMENT_METHOD_OTHER', 'PAYMENT_METHOD_PERIOD', 'PAYMENT_METHOD_LUMP_SUM']).optional(),
    period_premium_mode: z
      .enum(['PERIOD_PREMIUM_MODE_EQUAL', 'PERIOD_PREMIUM_MODE_FIRST_DIFF', 'PERIOD_PREMIUM_MODE_MULTI_DIFF'])
      .optional(),
    payment_period: z
      .enum([
        'PAYMENT_PERIOD_DAY',
        'PAYMENT_PERIOD_WEEK',
        'PAYMENT_PERIOD_BIWEEKLY',
        'PAYMENT_PERIOD_MONTH',
        'PAYMENT_PERIOD_QUARTER',
        'PAYMENT_PERIOD_HALF_YEAR',
        'PAYMENT_PERIOD_YEAR',
      ])
      .optional(),
    first_period_amount: amount.optional(),
    subsequent_period_amount: amount.optional(),
    coverage_term_type: z.enum(['COVERAGE_TERM_TYPE_FIXED_DATE', LIFETIME]).optional(),
  },
  POLICY_WORDS,
);

/** The fields alone, without the rules that join several: the shape of a PATCH body, say in the sandbox. */
export const policyFieldsSchema = z.looseObject(fields).partial();

type Shape = z.output<z.ZodObject<typeof fields, z.core.$loose>>;

/** Of the fields as a whole, those that the contract has not too: whole Unicode, numbers that JSON can write, not too much. */
function fits(fields: object, context: z.RefinementCtx): void {
  const broken = Object.entries(fields).find(([name, value]) => !isWellFormed(name) || !isWellFormed(value));
  // A text of the contract's has its own check, which says the same.
  if (broken && !Object.hasOwn(policyFieldsSchema.shape, broken[0]))
    context.addIssue({
      code: 'custom',
      path: [broken[0]],
      params: { rule: 'ill-formed' satisfies RuleName },
      message:
        'expected text in Unicode and finite numbers, has half of a surrogate pair, NUL, or a number beyond 1.8e308',
    });
  const { length } = JSON.stringify(fields);
  if (length <= MOST_CHARACTERS) return;
  const message = `expected at most ${MOST_CHARACTERS} characters of JSON, has ${length}`;
  context.addIssue({ code: 'custom', params: { rule: 'too-large' satisfies RuleName }, message });
}

function joined(policy: Shape, context: z.RefinementCtx): void {
  const broken = (field: string, rule: RuleName, message: string): void => {
    context.addIssue({ code: 'custom', path: [field], params: { rule }, message });
  };
  fits(policy, context);
  const effective = instantOf(policy.effective_time);
  const expired = instantOf(policy.expired_time);
  if (policy.expired_time === undefined && policy.coverage_term_type !== LIFETIME)
    broken('expired_time', 'missing', `expected a time, or coverage_term_type ${LIFETIME}`);
  if (effective !== undefined && expired !== undefined && expired <= effective)
    broken('expired_time', 'expired-after-effective', `expected a time after effective_time ${policy.effective_time}`);
  if (policy.policy_type === 'POLICY_TYPE_CAR' && !policy.car_number)
    broken('car_number', 'car-number', 'expected with POLICY_TYPE_CAR');
  if (policy.policy_type === 'POLICY_TYPE_PET' && !policy.pet_name)
    broken('pet_name', 'pet-name', 'expected with POLICY_TYPE_PET');
  if (policy.policy_state === APPROVED && !policy.policy_code)
    broken('policy_code', 'policy-code', `expected with ${APPROVED}`);
  for (const fault of windowFaults(policy)) broken(fault.field, 'renewal-window', fault.message);
}

/** What a JSON Schema can say of the rules that join several fields; `joined` says it to users. */
const JOINED = [
  needed({ policy_type: 'POLICY_TYPE_CAR' }, 'car_number'),
  needed({ policy_type: 'POLICY_TYPE_PET' }, 'pet_name'),
  needed({ policy_state: APPROVED }, 'policy_code'),
  { anyOf: [{ required: ['expired_time'] }, having({ coverage_term_type: LIFETIME })] },
];

function having(constants: Record<string, string>): object {
  const properties = Object.entries(constants).map(([field, value]) => [field, { const: value }]);
  return { properties: Object.fromEntries(properties), required: Object.keys(constants) };
}

function needed(where: Record<string, string>, field: string): object {
  // biome-ignore lint/suspicious/noThenProperty: a word of JSON Schema.
  return { if: having(where), then: { properties: { [field]: { minLength: 1 } }, required: [field] } };
}

function windowFaults(policy: Partial<Shape>): { field: string; message: string }[] {
  const faults: { field: string; message: string }[] = [];
  const [effective, expired] = [instantOf(policy.effective_time), instantOf(policy.expired_time)];
  const [start, end] = [instantOf(policy.start_renewal_time), instantOf(policy.end_renewal_time)];
  for (const [field, at] of [
    ['start_renewal_time', start],
    ['end_renewal_time', end],
  ] as const) {
    if (at !== undefined && expired !== undefined && Math.abs(at - expired) > WINDOW_LIMIT_MS)
      faults.push({ field, message: `expected within ${WINDOW_LIMIT} of expired_time ${policy.expired_time}` });
  }
  if (start !== undefined && effective !== undefined && start <= effective)
    faults.push({ field: 'start_renewal_time', message: `expected after effective_time ${policy.effective_time}` });
  // The other half is computed, and has to find a place.
  if (start !== undefined && end === undefined && expired !== undefined && start >= expired + WINDOW_LIMIT_MS)
    faults.push({
      field: 'start_renewal_time',
      message: `expected before the last day of the ${WINDOW_LIMIT} after expired_time`,
    });
  if (start === undefined && end !== undefined && effective !== undefined && end <= effective + 1000)
    faults.push({ field: 'end_renewal_time', message: `expected after effective_time ${policy.effective_time}` });
  if (start !== undefined && end !== undefined && end <= start)
    faults.push({
      field: 'end_renewal_time',
      message: `expected after start_renewal_time ${policy.start_renewal_time}`,
    });
  return faults;
}

/**
 * A whole policy, names in the clear, wire names and wire types. Times come out in `+08:00`. Fields that the contract has
 * not are kept: whether they may be there, the record says.
 * Limits and joined rules: the field table of the contract (docs/contract.md).
 */
export const policySchema = z.looseObject(fields).superRefine(joined).meta({ allOf: JOINED });
export type Policy = z.output<typeof policySchema>;
/** Some fields of a policy: what a PATCH carries, what an amendment changes. */
export type PolicyFields = Partial<Policy>;

/** What an upload (POST) needs beside the policy. */
export const uploadSchema = z
  .looseObject(
    described(
      {
        appid: checked(notEmpty, visible),
        openid: checked(notEmpty, visible),
        payee_mchid: checked(visible).optional(),
        payee_appid: checked(visible).optional(),
        payee_openid: checked(visible).optional(),
      },
      UPLOAD_WORDS,
    ),
  )
  .superRefine(fits);

/** An object of these fields alone; any other name is refused with the nearest of them. */
export function only<Fields extends z.core.$ZodLooseShape>(fields: Fields): z.ZodObject<Fields, z.core.$strict> {
  return z.strictObject(fields, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? noSuchNames(issue.keys, Object.keys(fields)) : undefined),
  });
}

const renewalSchema = only(
  described(
    {
      opens_before: durationSchema('1s', WINDOW_LIMIT).default('60d'),
      closes_after: durationSchema('0s', WINDOW_LIMIT).default('30d'),
    },
    RENEWAL_WORDS,
  ),
).prefault({});

const verificationSchema = only(
  described(
    {
      every: durationSchema('1s', '365d').default('7d'),
      on_drift: z.enum(['heal', 'report']).default('heal'),
      on_state_drift: z.enum(['report', 'heal']).default('report'),
    },
    VERIFICATION_WORDS,
  ),
).prefault({});

/** Many times what WeChat Pay may add. */
const MOST_EXTRA_FIELDS = 100;
/** Names of fields that the contract has not: the service is in grey release, and fields come. */
export const extraFieldsSchema = z
  .array(z.string().regex(/^[a-z][a-z0-9_]{0,63}$/, { error: 'expected the name of a field, such as brand_new_field' }))
  .max(MOST_EXTRA_FIELDS, { error: `expected at most ${MOST_EXTRA_FIELDS} names of fields` });

/**
 * The record that users hand in: the policy, and how it is to be kept. Comes out with every default filled in. Parse it with
 * `parsedRecord`.
 */
export const recordSchema = only(
  described(
    {
      mchid: z.string().regex(/^\d{8,10}$/, { error: 'expected a merchant id of 8 to 10 digits' }),
      policy: policySchema,
      upload: uploadSchema.optional(),
      adopt: z.enum(['push', 'remote', 'report']).default('push'),
      renewal: renewalSchema,
      verification: verificationSchema,
      issuing_alert_after: durationSchema('1s', '3650d').default('3d'),
      retry_alert_after: durationSchema('1s', '365d').default('15m'),
      reinstatement_within: durationSchema('0s', '3650d').optional(),
      extra_fields: extraFieldsSchema.default([]),
    },
    RECORD_WORDS,
  ),
).superRefine(({ policy, upload = {}, extra_fields }, context) => {
  const refuse = (path: string[], message: string): void =>
    context.addIssue({ code: 'custom', path, params: { rule: 'unknown-field' satisfies RuleName }, message });
  for (const [part, names] of Object.entries({
    policy: unknownNames(policy, extra_fields),
    upload: unknownNames(upload, extra_fields, 'upload'),
  })) {
    for (const name of names.slice(0, MOST_NAMED)) refuse([part, name], noSuchField(name));
    if (names.length > MOST_NAMED)
      refuse([part], `and ${names.length - MOST_NAMED} more names that the contract has not`);
  }
});

/** Names that neither the contract has nor the record's `extra_fields`: sent, they would stay at WeChat Pay for good. */
export function unknownNames(given: object, extra: readonly string[], of: 'policy' | 'upload' = 'policy'): string[] {
  const known = new Set([...Object.keys(fields), ...extra, ...(of === 'upload' ? Object.keys(UPLOAD_WORDS) : [])]);
  return Object.keys(given).filter((name) => !known.has(name));
}

export function noSuchField(name: string): string {
  const said = noSuchName(name, [...Object.keys(fields), ...Object.keys(UPLOAD_WORDS)]);
  return `${said}; a field that WeChat Pay has added is named in extra_fields`;
}

/** Without the members that are null, for they are absent: of the value, and of those of its own down to so many `levels`. */
export function withoutNulls(value: unknown, levels = 1): unknown {
  if (levels === 0 || typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const present = Object.entries(value).filter(([, member]) => member !== null);
  return Object.fromEntries(present.map(([name, member]) => [name, withoutNulls(member, levels - 1)]));
}

/**
 * A record as users hand it in, checked, with every default filled in; what is `null` is absent.
 * @throws {RuleViolation}
 */
export function parsedRecord(input: unknown): PolicyRecord {
  return parse(recordSchema, withoutNulls(input, 2));
}

/** As handed in: optional parts may lack. */
export type RecordInput = z.input<typeof recordSchema>;
/** As kept: every default filled in but `reinstatement_within`, whose default depends on why the policy ended. */
export type PolicyRecord = z.output<typeof recordSchema>;
