import type { KeyObject } from 'node:crypto';
import { OWN_WORDS } from '../policy/expected.ts';
import { TIME_FIELDS } from '../policy/fields.ts';
import { type PolicyFields, policyFieldsSchema } from '../policy/record.ts';
import { jsonIn } from '../wechatpay/json.ts';
import { openName } from '../wechatpay/sealing.ts';
import { paramError } from './refusal.ts';

const LONGEST_CIPHERTEXT = 1024;
const MOST_NAMES = 11;
/** Times are `string(25)` on the wire: to the second, with an offset. */
const LONGEST_TIME = 25;

/** What JSON says, whatever it is. Throws PARAM_ERROR where the bytes are not JSON in UTF-8, or nest without end. */
export function anyJsonIn(body: Buffer): unknown {
  const value = jsonIn(body);
  if (value === undefined) throw paramError('body', 'expected JSON in UTF-8 that nests at most 32 deep');
  return value;
}

/** A JSON object, or PARAM_ERROR. */
export function objectIn(body: Buffer): Record<string, unknown> {
  const value = anyJsonIn(body);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw paramError('body', 'expected a JSON object');
}

/**
 * The fields of a policy that a PATCH or POST carries: each optional, with the types and lengths of the contract; names
 * opened with WeChat Pay's key, an empty list of them left out ("no update"), times in `+08:00`, unknown fields kept.
 * Throws PARAM_ERROR with the field.
 */
export function policyFieldsIn(body: Buffer, wechatpayKey: KeyObject): PolicyFields {
  const { insured_name_list: names, ...rest } = objectIn(body);
  for (const field of TIME_FIELDS) {
    const time = rest[field];
    // What is no text is left to the schema, which refuses it by its type.
    if (typeof time === 'string' && time.length > LONGEST_TIME)
      throw paramError(field, `expected at most ${LONGEST_TIME} characters`);
  }
  const opened = names === undefined ? {} : { insured_name_list: openedNames(names, wechatpayKey) };
  const { data, error } = policyFieldsSchema.safeParse({ ...rest, ...opened }, OWN_WORDS);
  const issue = error?.issues[0];
  if (issue) throw paramError(issue.path.map(String).join('.'), issue.message);
  const { insured_name_list, ...fields } = data ?? {};
  return insured_name_list?.length ? { ...fields, insured_name_list } : fields;
}

function openedNames(names: unknown, key: KeyObject): unknown {
  // Anything else is left to the schema, which refuses it by its type.
  if (!Array.isArray(names)) return names;
  // Before they are opened: each costs a millisecond of everybody's.
  if (names.length > MOST_NAMES) throw paramError('insured_name_list', `expected at most ${MOST_NAMES} names`);
  return names.map((sealed: unknown, at) => {
    const field = `insured_name_list.${at}`;
    if (typeof sealed !== 'string') throw paramError(field, 'expected text');
    if (sealed.length > LONGEST_CIPHERTEXT)
      throw paramError(field, `expected at most ${LONGEST_CIPHERTEXT} characters`);
    const name = openName([key], sealed);
    if (name === undefined) throw paramError(field, 'expected a name sealed with the key that Wechatpay-Serial names');
    return name;
  });
}
