import { z } from 'zod';
import { durationSchema } from './duration.ts';
import * as types from './field_types.ts';
import { type Field, POLICY_FIELDS, UPLOAD_FIELDS } from './fields.ts';
import { MOST_NAMED, noSuchName, noSuchNames } from './names.ts';
import { asWhole, fits, JOINED, WINDOW_LIMIT } from './policy_rules.ts';
import type { RuleName } from './rules.ts';
import { parse } from './violation.ts';
import { described, RECORD_WORDS, RENEWAL_WORDS, VERIFICATION_WORDS } from './words.ts';

export { workflowIdOf } from './workflow_id.ts';

/** The schemas of a table of fields, each with its word. */
function schemasOf<Table extends Record<string, Field>>(table: Table) {
  const entries = Object.entries(table).map(([name, { type, word }]) => [name, type(types).describe(word)]);
  return Object.fromEntries(entries) as { -readonly [Name in keyof Table]: ReturnType<Table[Name]['type']> };
}

const fields = schemasOf(POLICY_FIELDS);

/** The fields alone, without the rules that join several: the shape of a PATCH body, say in the sandbox. */
export const policyFieldsSchema = z.looseObject(fields).partial();

/**
 * A whole policy, names in the clear, wire names and wire types. Times come out in `+08:00`. Fields that the contract has
 * not are kept: whether they may be there, the record says.
 * Limits and joined rules: the field table of the contract (docs/contract.md).
 */
export const policySchema = z.looseObject(fields).superRefine(asWhole).meta({ allOf: JOINED });
export type Policy = z.output<typeof policySchema>;
/** Some fields of a policy: what a PATCH carries, what an amendment changes. */
export type PolicyFields = Partial<Policy>;

/** What an upload (POST) needs beside the policy. */
export const uploadSchema = z.looseObject(schemasOf(UPLOAD_FIELDS)).superRefine(fits);

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
      observe: z.boolean().optional(),
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
  const known = new Set([
    ...Object.keys(POLICY_FIELDS),
    ...extra,
    ...(of === 'upload' ? Object.keys(UPLOAD_FIELDS) : []),
  ]);
  return Object.keys(given).filter((name) => !known.has(name));
}

export function noSuchField(name: string): string {
  const said = noSuchName(name, [...Object.keys(POLICY_FIELDS), ...Object.keys(UPLOAD_FIELDS)]);
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
