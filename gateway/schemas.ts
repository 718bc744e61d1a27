import { z } from 'zod';
import type { Answer, Block, Status } from '../client/index.ts';
import { rfc3339 } from '../policy/field_types.ts';
import { POLICY_TYPES } from '../policy/fields.ts';
import { only } from '../policy/record.ts';
import { POLICY_STATES, SYNCS, shortState } from '../policy/state.ts';

/** A shape that the document has once, under this name. */
export function named<Schema extends z.ZodType>(id: string, schema: Schema): Schema {
  z.globalRegistry.add(schema, { id });
  return schema;
}

const mchid = () => z.string().regex(/^[0-9]{8,10}$/, { error: 'expected a merchant id of 8 to 10 digits' });
const number = () => z.string().regex(/^[0-9A-Za-z]{1,32}$/, { error: 'expected 1 to 32 letters and digits' });
/** As MongoDB gives it; JSON has RFC 3339 in UTC. */
const time = () => z.date();
const text = () => z.string();

export const policyPath = only({
  mchid: mchid().describe('Merchant id.'),
  out_insurance_no: number().describe('Number of the policy.'),
});

const STATES = POLICY_STATES.map(shortState) as ['ISSUING', 'APPROVED', 'DECLINED', 'INACTIVE'];
const yesOrNo = () => z.enum(['true', 'false']);

export const wait = only({
  wait: z
    .string()
    .regex(/^([1-9]|[1-5][0-9]|60)s$/, { error: 'expected 1s to 60s' })
    .optional()
    .describe('Wait so long, `60s` at most, until WeChat Pay holds it: 200 when it does, 202 when not yet.'),
});
export const reveal = only({
  reveal: yesOrNo()
    .optional()
    .describe('true: personal values in the clear, for tokens of the role `reveal`; noted among the changes.'),
});
const howMany = (most: number, usual: number) =>
  z.coerce.number().int().min(1).max(most).default(usual).describe(`At most so many, the newest first.`);
export const latest = only({ limit: howMany(200, 20), ...reveal.shape });
export const latestCalls = only({ limit: howMany(200, 20) });
export const listing = only({
  mchid: mchid().optional().describe('Of this merchant; else of all that the token is for.'),
  state: z.enum(STATES).optional(),
  sync: z.enum(SYNCS).optional(),
  type: z.enum(POLICY_TYPES).optional(),
  expires_before: rfc3339().optional().describe('Cover ends before, RFC 3339.'),
  attention: yesOrNo().optional().describe('true: only what asks for a person: out of step, stopped, or marked.'),
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: z
    .string()
    .regex(/^[0-9]{8,10}\/[0-9A-Za-z]{1,32}$/, { error: 'expected `next` of the page before' })
    .optional()
    .describe('`next` of the page before.'),
});
export const ofMerchant = only({
  mchid: mchid().optional().describe('Of this merchant; else of all that the token is for.'),
});

const IDEMPOTENCY = 'Id of the event in your system, as `event_id` in the body: sent twice, it is done once.';
// Loose: whatever else comes with a request is nobody's fault.
export const idempotency = z.looseObject({
  'idempotency-key': z
    .string()
    .regex(/^[\x21-\x7e]{1,200}$/, { error: 'expected 1 to 200 printable characters of ASCII, without blanks' })
    .optional()
    .describe(IDEMPOTENCY),
});

const violation = z.object({ field: text(), rule: text(), message: text() });
export const problem = named(
  'Problem',
  z
    .object({
      type: text().describe('`urn:policy-sync:problem:` and the rule.'),
      title: text(),
      status: z.int(),
      detail: text().describe('One line for people; no personal value.'),
      rule: text().describe('What programs branch on: a rule that was broken, or what else is the matter.'),
      violations: z.array(violation).optional().describe('Every broken rule of what was sent.'),
    })
    .describe('A problem, as RFC 9457 has it.'),
);

const block = named(
  'Block',
  z.object({
    code: text(),
    message: text(),
    request_id: text().optional(),
    at: text(),
  }) satisfies z.ZodType<Block>,
);
export const status = named(
  'Status',
  z
    .object({
      mchid: text(),
      out_insurance_no: text(),
      state: z.enum(STATES),
      sync: z.enum(SYNCS),
      revision: z.int(),
      synced_revision: z.int(),
      next: z.object({ what: text(), at: text() }).nullable(),
      block: block.nullable(),
      unverified: block.nullable(),
      diverged: z.array(text()),
      attention: z.array(text()),
      cancellation: z.object({ cause: text(), at: text() }).nullable(),
      window: text(),
      on_hold_since: text().nullable(),
      call: z.enum(['query', 'push', 'upload', 'verify']).nullable(),
      under_way: z.boolean(),
    } satisfies Record<keyof Status, z.ZodType>)
    .describe('Where the policy stands; no personal data.'),
);

const outcome = {
  revision: z.int().describe('The revision that the message made, or found.'),
  outcome: z.enum(['accepted', 'unchanged', 'superseded']),
} satisfies Record<keyof Answer, z.ZodType>;
const answer = { mchid: text(), out_insurance_no: text(), ...outcome };

export const taken = named(
  'Answer',
  z.object({ ...answer, status: status.optional().describe('With `wait`.') }).describe('The message was taken.'),
);
export const notYet = named(
  'NotYet',
  z
    .object({ ...answer, not_synced: z.object({ reason: text(), detail: text() }) })
    .describe('The message was taken, and WeChat Pay does not hold it: `reason` says why.'),
);
const opened = {
  workflow_id: text(),
  digest: text().describe('Digest of the record.'),
  warnings: z.array(text()).describe('What hinders the policy although it is open, a line each.'),
};
export const openedAnswer = named('Opened', z.object({ ...taken.shape, ...opened }));
export const openedNotYet = named('OpenedNotYet', z.object({ ...notYet.shape, ...opened }));

const difference = z.object({ field: text(), ours: z.unknown(), theirs: z.unknown().optional() });
export const verified = z.object({ ...answer, differences: z.array(difference) });

const fields = () => z.record(z.string(), z.unknown());
const call = z.looseObject({ at: time(), method: text().optional(), outcome: text().optional() });
const command = z.looseObject({
  command: text(),
  by: text().nullable(),
  revision: z.int(),
  rule: text().nullable(),
  before: fields(),
  after: fields(),
  at: time(),
  confirmed_at: time().nullable(),
});
const discrepancy = z.looseObject({ field: text(), kind: text(), found_at: time(), became: text() });
export const calls = z.object({ calls: z.array(call) });
export const changes = z.object({ changes: z.array(command) });

export const shown = z.object({
  mchid: text(),
  out_insurance_no: text(),
  status: status.nullable().describe('What its workflow says; null where no worker told.'),
  workflow: z
    .looseObject({ workflow_id: text(), run_id: text(), status: text(), pending: z.array(z.looseObject({})) })
    .nullable()
    .describe('What Temporal says of its workflow.'),
  kept: z
    .object({
      document: z.looseObject({
        policy_state: text(),
        sync: z.enum(SYNCS),
        revision: z.int(),
        synced_revision: z.int(),
      }),
      desired: fields(),
      remote: fields().nullable(),
      differing: z.array(text()),
      calls: z.array(call),
      discrepancies: z.array(discrepancy),
      commands: z.array(command),
    })
    .nullable()
    .describe('What MongoDB keeps.'),
  notes: z.array(text()).describe('What could not be asked for, or hinders all policies, a line each.'),
});

const cause = { code: text().nullable(), reason: text().nullable(), since: text().nullable() };
const listed = z.object({
  mchid: text(),
  out_insurance_no: text(),
  state: z.enum(STATES),
  sync: z.enum(SYNCS),
  type: text(),
  expires_at: text().nullable().describe('End of cover, RFC 3339.'),
  revision: z.int(),
  synced_revision: z.int(),
  due: z.object({ what: text(), at: time() }).nullable().describe('What comes due next.'),
  attention: z.array(text()).describe('Marks for a person.'),
  verified_at: time().nullable(),
  updated_at: time(),
  end: text().nullable().describe('How its life is over; null where it goes on.'),
  ...cause,
});
export const policies = z.object({
  policies: z.array(listed),
  next: text().nullable().describe('`cursor` of the page that follows; null where this is the last.'),
});
export const counts = z.object({
  counts: z.array(z.object({ state: z.enum(STATES), sync: z.enum(SYNCS), ended: z.boolean(), policies: z.int() })),
});
export const attention = z.object({
  merchants: z.array(z.object({ mchid: text(), ...cause })).describe('Merchants whose calls are held.'),
  findings: z
    .array(z.object({ mchid: text().nullable(), out_insurance_no: text().nullable(), ...cause }))
    .describe('What the last audit found.'),
});
export const planned = z.object({
  mchid: text(),
  out_insurance_no: text(),
  outlook: z.enum(['identical', 'push', 'upload', 'differs', 'unknown']),
  sync: z.enum(SYNCS),
  revision: z.int(),
  observed_at: time().nullable(),
  fields: z.array(z.looseObject({ field: text(), ours: z.unknown(), fate: text() })),
});
export const health = z.object({
  ok: z.boolean(),
  away: z.array(text()).optional().describe('Servers that do not answer.'),
});
export const me = z.object({
  name: text().nullable().describe('Name of the token; null where nobody shows one.'),
  merchants: z.union([z.literal('*'), z.array(text())]),
  roles: z.array(text()),
});
