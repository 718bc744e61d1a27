import { z } from 'zod';
import { changed, type MayHold, type Rule, refuseWithoutCode } from './command_rule.ts';
import { isEmpty, sameWish } from './difference.ts';
import { envelope, withoutEnvelope } from './envelope.ts';
import { UPLOAD_ONLY } from './fields.ts';
import type { Life } from './life.ts';
import {
  extraFieldsSchema,
  noSuchField,
  type PolicyFields,
  type PolicyRecord,
  policyFieldsSchema,
  policySchema,
  unknownNames,
  uploadSchema,
} from './record.ts';
import { INACTIVE } from './state.ts';
import { parse, refuse } from './violation.ts';
import { replanned } from './window_plan.ts';

export const amendSchema = z.looseObject({
  ...envelope(),
  extra_fields: extraFieldsSchema.optional(),
  upload: z.looseObject({}).optional(),
});

const AMEND_NEVER: Readonly<Record<string, string>> = {
  out_insurance_no: 'it names the policy',
  policy_state: 'states have commands of their own',
};

export const amend: Rule<typeof amendSchema> = (life, command, _now, there) => {
  const { extra_fields: added, ...given } = withoutEnvelope(command);
  const extended = extendedBy(life, added);
  knownOnly(extended, given);
  const [upload, fields] = uploadAmended(extended, given, there);
  for (const [field, value] of Object.entries(fields)) {
    if (Object.hasOwn(AMEND_NEVER, field))
      refuse('not-amendable', `amend: ${field} cannot be amended; ${AMEND_NEVER[field]}`, field);
    if (isEmpty(value) && !isEmpty(life.record.policy[field]) && (value !== null || there(field)))
      refuse('cannot-clear', `amend: ${field} can be replaced, not emptied: WeChat Pay holds it, or may`, field);
  }
  const replaced = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
  parse(policyFieldsSchema, replaced);
  const takenBack = Object.keys(fields).filter((field) => fields[field] === null);
  const amended = without(changed(upload, replaced), takenBack);
  const ends = life.cancellation !== undefined || life.record.policy.policy_state === INACTIVE;
  if (ends && takenBack.includes('policy_code') && life.record.policy.policy_code) refuseWithoutCode('amend');
  return replanned(life, amended);
};

/** So that a fault names the list as that of a record does. */
const extendedRecord = z.object({ extra_fields: extraFieldsSchema });

/** The life whose record names fields, too, that the contract has not. */
function extendedBy(life: Life, added: readonly string[] = []): Life {
  // A record of an earlier release names none.
  const { extra_fields = [] } = life.record as Partial<PolicyRecord>;
  const more = added.filter((field) => !extra_fields.includes(field));
  if (more.length === 0) return life;
  const all = parse(extendedRecord, { extra_fields: [...extra_fields, ...more] });
  return { ...life, record: { ...life.record, ...all } };
}

/** Fields of the policy and of its upload, and those of the upload by themselves. */
type Amendment = PolicyFields & { upload?: PolicyFields };

/** Refuses names that neither the contract has, nor the policy already, nor the record's `extra_fields`. */
function knownOnly({ record }: Life, { upload, ...given }: Amendment): void {
  const { policy, extra_fields = [] } = record as Partial<PolicyRecord>;
  const [unknown] = unknownNames({ ...given, ...upload }, [...extra_fields, ...Object.keys(policy ?? {})], 'upload');
  if (unknown !== undefined) refuse('unknown-field', `amend: ${unknown}: ${noSuchField(unknown)}`, unknown);
}

/** The life without fields that WeChat Pay has not got, the whole policy checked again. */
function without(life: Life, fields: readonly string[]): Life {
  const entries = Object.entries(life.record.policy);
  const left = entries.filter(([field]) => !fields.includes(field));
  if (left.length === entries.length) return life;
  return { ...life, record: { ...life.record, policy: parse(policySchema, Object.fromEntries(left)) } };
}

/**
 * The life with its upload amended, or given one, and the fields that are the policy's. That can be done for as long as the
 * upload is to come: one that WeChat Pay has refused, or that lacked, goes on so. What is null is taken back.
 */
function uploadAmended(life: Life, { upload: added, ...given }: Amendment, there: MayHold): [Life, PolicyFields] {
  const entries = Object.entries(given);
  const own = entries.filter(([field]) => UPLOAD_ONLY.has(field));
  const late = added ? 'upload' : entries.find(([field]) => UPLOAD_ONLY.has(field) || field === COMPANY)?.[0];
  if (late && life.known_there)
    refuse('not-amendable', `amend: ${late} can be amended only before WeChat Pay has the policy`, late);
  if (late && there('appid'))
    refuse('unknown-outcome', `amend: an upload is under way; amend ${late} once its outcome is known`, late);
  if (!added && own.length === 0) return [life, given];
  const { upload } = life.record;
  const amended = Object.entries({ ...upload, ...added, ...Object.fromEntries(own) }).filter(([, it]) => it !== null);
  const mended = parse(uploadAlone, { upload: Object.fromEntries(amended) });
  const same = sameWish('upload', upload, mended.upload);
  return [same ? life : { ...life, record: { ...life.record, ...mended } }, withoutUpload(entries)];
}

/** It goes up with the upload, and can't be updated. */
const COMPANY = 'insurance_company_code';
/** So that a fault names its field as that of a record does. */
const uploadAlone = z.object({ upload: uploadSchema });

function withoutUpload(entries: [string, unknown][]): PolicyFields {
  return Object.fromEntries(entries.filter(([field]) => !UPLOAD_ONLY.has(field)));
}
