import type { z } from 'zod';
import { bareSchema, COMMAND_SCHEMAS, type CommandName } from '../../../policy/commands.ts';
import { POLICY_FIELDS } from '../../../policy/fields.ts';
import type { RuleName } from '../../../policy/rules.ts';
import { ENVELOPE_WORDS, RENEWAL_WORDS } from '../../../policy/words.ts';
import type { Answer, Block, Status } from '../../../workflows/messages.ts';
import { fieldTable } from './fields.ts';
import { type JsonSchema, jsonSchemaOf } from './json_schemas.ts';
import { code, words } from './markdown.ts';

export const ANSWER = {
  revision: 'The revision that the message made, or found.',
  outcome: '`accepted`; `unchanged`: it is so already; `superseded`: its `version` is not above the last accepted one.',
} as const satisfies Record<keyof Answer, string>;

const STATUS = {
  mchid: 'Merchant id.',
  out_insurance_no: 'Number of the policy.',
  state: 'The state that you want: `ISSUING`, `APPROVED`, `DECLINED`, `INACTIVE`.',
  sync: '`SYNCED`, `PENDING`, `RETRYING`, `BLOCKED`, `DIVERGED`, `HELD`, `OBSERVED`, `STOPPED`: see [Operating](../operating.md#what-sync-says-and-what-to-do).',
  revision: 'Grows by one with every change that you, or a due time, made.',
  synced_revision: 'The last revision that WeChat Pay is known to hold whole.',
  next: 'What comes due next, `{what, at}`: `issuing-overdue`, `issuing-past-expiry`, `cancellation`, `expiry`, `window-opens`, `window-closes`, `end`, `fresh-run`.',
  block: 'Why nothing is sent until a person acts, see below; null where nothing hinders.',
  unverified:
    'What the last answer to a change says that proves nothing, such as an unsigned 400, in the form of `block`; else null.',
  diverged: 'Names of the fields in which WeChat Pay holds otherwise, and is left so.',
  attention: 'Marks for a person: see [Errors](errors.md#marks).',
  cancellation: 'A cancellation that will come, `{cause, at}`.',
  window: 'The renewal window: `none`, `given` (by the record), `planned`, `open`, `closed`.',
  on_hold_since: 'Since when the policy is on hold, and nothing is sent; else null.',
  call: 'The call that is waited for: `query`, `push`, `upload`, `verify`.',
  under_way: 'A call may still bring WeChat Pay what it lacks, whatever else waits for a person.',
} as const satisfies Record<keyof Status, string>;

const BLOCK = {
  code: "WeChat Pay's code, or one of ours: see [Errors](errors.md#blocks).",
  message: 'In one line.',
  request_id: "Request-ID of WeChat Pay's answer.",
  at: 'Since when.',
} as const satisfies Record<keyof Block, string>;

const POLICY_WORDS = Object.fromEntries(Object.entries(POLICY_FIELDS).map(([name, { word }]) => [name, word]));

/** Of the fields of messages that no schema of the record has. */
const WORDS: Record<string, string> = {
  ...POLICY_WORDS,
  ...RENEWAL_WORDS,
  extra_fields: 'Names of fields that WeChat Pay has added: added to those of the record.',
  upload: 'Fields of [upload](record.md#upload): given where it lacked, replaced, or taken back by `null`.',
  policy_code: "The insurer's number of the policy.",
  cause: 'Why it ends. After a LAPSE it can be reinstated for two years, else for 30 days.',
  reason: 'In words; kept sealed.',
  on: 'true: watched and compared only; false: ours to write from now on.',
  at: 'When: a time to come waits, a time past acts now and is kept as the business date. Without it: now.',
  as: 'Number of the policy that continues this one: the window of this one closes. It goes with no other field.',
  window:
    'The renewal window of the new term: either half as a time, or as a span. What is not given is as in the record. With the same expired_time the window alone is planned anew.',
};

/** The rules of a policy as a whole, which a message may make it break. */
const WHOLE = [
  'missing',
  'expired-after-effective',
  'car-number',
  'pet-name',
  'policy-code',
  'renewal-window',
  'too-large',
] as const;

/** By which rules a message is refused where its own shape is right. A test tries it out. */
export const REFUSED_BY: Record<CommandName, readonly RuleName[]> = {
  approve: ['illegal-transition', ...WHOLE],
  decline: ['illegal-transition'],
  cancel: ['illegal-transition', ...WHOLE],
  withdraw: ['illegal-transition'],
  amend: ['not-amendable', 'unknown-outcome', 'cannot-clear', ...WHOLE],
  renew: ['illegal-transition', 'lifetime', 'renewal-term', 'expired', 'cancellation-pending', ...WHOLE],
  reinstate: ['illegal-transition', 'expired', ...WHOLE],
  hold: [],
  unhold: [],
  observe: [],
};

export function answer(): string {
  return words(['field', ''], ANSWER);
}

export function status(): string {
  return `${words(['field', ''], STATUS)}\n\n\`block\`:\n\n${words(['field', ''], BLOCK)}`;
}

export function envelope(): string {
  return fieldTable(jsonSchemaOf(bareSchema));
}

/** The blocks of the messages that change a policy: fields, and rules. */
export function messageBlocks(): Record<string, () => string> {
  const blocks = Object.entries(COMMAND_SCHEMAS).map(([name, schema]): [string, () => string] => [
    name,
    () => `${fieldsOf(schema)}\n\n${refusals(REFUSED_BY[name as CommandName])}`,
  ]);
  return Object.fromEntries(blocks);
}

function refusals(rules: readonly RuleName[]): string {
  return rules.length === 0 ? 'Never refused where its shape is right.' : `Refused by: ${rules.map(code).join(', ')}.`;
}

function fieldsOf(schema: z.ZodType): string {
  const whole = jsonSchemaOf(schema);
  return (whole.anyOf ?? [whole])
    .map(withoutEnvelope)
    .map((one) => {
      const { properties = {} } = one;
      if (Object.keys(properties).length === 0)
        return one.additionalProperties === true ? 'Its fields are those.' : 'No fields of its own.';
      const inner = Object.entries(properties).filter(([, of]) => Object.keys(of.properties ?? {}).length > 0);
      const tables = inner.map(([field, of]) => `${code(field)}:\n\n${fieldTable(of, (name) => WORDS[name])}`);
      return [fieldTable(one, (name) => WORDS[name]), ...tables].join('\n\n');
    })
    .join('\n\nor\n\n');
}

function withoutEnvelope(schema: JsonSchema): JsonSchema {
  const own = Object.entries(schema.properties ?? {}).filter(([field]) => !Object.hasOwn(ENVELOPE_WORDS, field));
  return { ...schema, properties: Object.fromEntries(own) };
}
