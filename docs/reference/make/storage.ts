import {
  type CallOutcome,
  DELIVERY_STATES,
  FINDING_KINDS,
  type OwedAttempts,
  type StoredCommand,
  type StoredDelivery,
  type StoredDiscrepancy,
  type StoredEvent,
  type StoredFinding,
  type StoredHold,
  type StoredPolicy,
  type StoredSweep,
} from '../../../storage/documents.ts';
import { INDEXES } from '../../../storage/indexes.ts';
import { code, words } from './markdown.ts';

type Words<Document> = Record<keyof Document, string>;

const POLICIES: Words<StoredPolicy> = {
  _id: '`{mchid}/{out_insurance_no}`.',
  mchid: 'Merchant id.',
  out_insurance_no: 'Number of the policy.',
  record: 'The [record](record.md) as you want it now. Personal fields are sealed.',
  policy_state: 'The state that you want: `POLICY_STATE_…`.',
  policy_type: '`POLICY_TYPE_…`.',
  sync: '`PENDING`, `RETRYING`, `SYNCED`, `BLOCKED`, `DIVERGED`, `HELD`, `OBSERVED`, `STOPPED`.',
  revision: 'Grows by one with every change.',
  synced_revision: 'The last revision that WeChat Pay is known to hold whole.',
  step: 'With `revision` it orders the writes of a policy.',
  remote: 'The policy as WeChat Pay last showed it, personal fields sealed; null before.',
  observed_at: 'When it was shown.',
  block: '`{code, message, request_id, at}`, or null: see [Errors](errors.md#blocks).',
  attention: 'Marks for a person: see [Errors](errors.md#marks).',
  due: 'What comes due next, `{what, at}`, or null.',
  verified_at: 'When WeChat Pay was last asked and held everything as it should.',
  next_verification_at: 'When it is asked next.',
  version: 'The last version of your system that was accepted.',
  digest: 'Of the record as it was opened.',
  window: 'The renewal window: `none`, `given`, `planned`, `open`, `closed`.',
  cancellation: 'A cancellation that will come, `{cause, at}`, or null.',
  life: 'First run id of the workflow that lives the policy: no other may write.',
  workflow_run: 'Run id of the last write.',
  namespace: 'The Temporal namespace that keeps the policy; absent from records of before 0.2.',
  opened_at: 'When it was opened.',
  updated_at: 'When it was last written.',
  end: '`DECLINED`, `INACTIVE`, `STOPPED`, `ERASED`; null while the policy is lived.',
  ended_at: 'When it ended.',
  ended_by: '`audit`: its workflow did not write the end, and what it did last may not be here.',
  last_event: 'The `sequence` of the last of its `events`; absent before any.',
  carried: 'What the workflow wants back when it restarts from this document; sealed, of no meaning to others.',
  erased: 'Of one whose personal data were erased: `{at, done_at}`; `done_at` is null until none is left.',
  taken_over: 'The life before the last restart, `{life, end, at}`.',
};

const CALLS: Words<CallOutcome> = {
  workflow_run: 'Run id of the workflow.',
  activity_id: 'Id of the activity in that run.',
  attempt: 'Number of the attempt: one attempt is one HTTP request.',
  policy: '`_id` of the policy.',
  mchid: 'Merchant id.',
  method: '`GET`, `PATCH`, `POST`.',
  revision: 'The revision that it was made for.',
  step: 'See `policies`.',
  at: 'When it began. What follows is written when it has ended.',
  outcome: '`confirmed`, `no-effect`, `unknown`, `refused`, `merchant-fault`.',
  status: 'HTTP status; null without an answer.',
  code: "WeChat Pay's code of an error.",
  request_id: 'Request-ID of the answer.',
  duration_ms: 'How long it took.',
  host: 'Host that was called.',
};

const OWED: Words<OwedAttempts> = {
  workflow_run: 'Run id of the workflow.',
  activity_id: 'Id of the activity in that run.',
  policy: '`_id` of the policy.',
  mchid: 'Merchant id.',
  count: 'Attempts of the activity that MongoDB did not take, all so far.',
  last_code: 'Code of the last of them.',
  last_request_id: 'Its Request-ID.',
  at: 'When this was written.',
};

const COMMANDS: Words<StoredCommand> = {
  _id: '`{_id of the policy}/{id}`.',
  policy: '`_id` of the policy.',
  mchid: 'Merchant id.',
  command:
    '`open`, `cancel`, …; `due:expiry`, … for what came due of itself; `restored` for a restart; `reset` where a reset of the workflow was recognised; `erased` where personal data were erased.',
  by: 'Who asked; sealed.',
  event_id: 'Id of the event in your system.',
  version: 'Its version there.',
  cause: 'Of a cancellation: its cause, where the message gave one. null of a cancellation means `SURRENDER`.',
  reason: 'In words; sealed.',
  business_date: 'RFC 3339: when it counts, where that is another time than when it came.',
  rule: 'The rule by which a signal was ignored; null for what was accepted.',
  before: 'The fields that it changed, as they were; personal ones sealed.',
  after: 'The same, as they are.',
  revision: 'The revision that it made, or found.',
  at: 'When it came.',
  confirmed_at: 'When WeChat Pay was known to hold the revision.',
  request_id: 'Of the answer that showed it.',
};

const DISCREPANCIES: Words<StoredDiscrepancy> = {
  _id: '`{_id of the policy}/{id}`.',
  policy: '`_id` of the policy.',
  mchid: 'Merchant id.',
  field: 'The field that differs.',
  kind: '`drift` (somebody changed it), `state` (the state), `not-taken` (a PATCH did not change it), `unreadable` (sealed for another key), `adopt` (found by the first GET), `absent` (WeChat Pay has no such policy).',
  ours: 'What we hold; sealed where it is personal.',
  theirs: 'What WeChat Pay holds; sealed where it is personal.',
  found_at: 'When it was found.',
  became: '`healing`, `healed`, `reported`, `contested`, `adopted`.',
  settled_at: 'When that was settled; null while it is healing.',
};

const MERCHANTS: Words<StoredHold> = {
  _id: 'Merchant id.',
  code: "WeChat Pay's code, or `paused`, `unusable-settings`.",
  status: 'HTTP status; null without an answer.',
  request_id: 'Request-ID of the answer.',
  message: 'One line for people.',
  since: 'When the hold began.',
  probed_at: 'When its holder last found it so.',
  held_by: 'The worker that said so, `pid@host`.',
};

const FINDINGS: Words<StoredFinding> = {
  _id: '`{kind}/{mchid}/{out_insurance_no}`.',
  kind: `${FINDING_KINDS.map(code).join(', ')}: see [Operating](../operating.md#audit).`,
  mchid: 'Merchant id; null where it is about the queue `policy-sync`.',
  out_insurance_no: 'Number of the policy; null where it is about a queue.',
  reason: 'One line: what is wrong, and what to do.',
  since: 'Found by the first audit that has found it since.',
  found_at: 'Found by the last one.',
};

const SWEEPS: Words<StoredSweep> = {
  _id: '`calls`, `commands`, `discrepancies`, `events`: old ones are deleted; `personal`: personal data of policies that ended long ago are erased. `relay`: events are delivered, by one worker at a time.',
  begun_at:
    'When a worker last began it; another may a day later. Of `relay`: when its worker last said that it goes on; another may 30 s later.',
  held_by: 'Of `relay`: which worker, `pid@host/…`.',
};

const EVENT = {
  policy: '`_id` of the policy.',
  mchid: 'Merchant id.',
  out_insurance_no: 'Number of the policy.',
  type: 'Type of the [event](../events.md).',
  sequence: 'Rises with each event of the policy.',
  at: 'When it happened.',
  told: 'What else is told.',
} as const;

const EVENTS: Words<StoredEvent> = {
  _id: 'The `webhook-id`.',
  ...EVENT,
  assigned: 'Each endpoint that wants it has a delivery of it.',
};

const DELIVERIES: Words<StoredDelivery> = {
  _id: '`{endpoint}/{event}`.',
  endpoint: 'Name of the endpoint.',
  event: '`_id` of the event.',
  ...EVENT,
  state: `${DELIVERY_STATES.map(code).join(', ')}: given up.`,
  attempts: 'How often it was tried.',
  since: 'From when on its three days count.',
  due_at: 'Not tried before.',
  reason: 'Why it was not taken last.',
  tried_at: 'When it was tried last.',
};

const FIELD = ['field', ''] as const;

/** A block for each collection: its fields, and how it is indexed. */
export const collectionBlocks: Record<string, () => string> = {
  policies: () => `${words(FIELD, POLICIES)}\n\n${indexes('policies')}`,
  calls: () =>
    `\`_id\` is \`{run}/{activity}/{attempt}\`:\n\n${words(FIELD, CALLS)}\n\nor \`{run}/{activity}/owed\`:\n\n${words(FIELD, OWED)}\n\n${indexes('calls')}`,
  commands: () => `${words(FIELD, COMMANDS)}\n\n${indexes('commands')}`,
  discrepancies: () => `${words(FIELD, DISCREPANCIES)}\n\n${indexes('discrepancies')}`,
  merchants: () => words(FIELD, MERCHANTS),
  findings: () => words(FIELD, FINDINGS),
  sweeps: () => words(FIELD, SWEEPS),
  events: () => `${words(FIELD, EVENTS)}\n\n${indexes('events')}`,
  deliveries: () => `${words(FIELD, DELIVERIES)}\n\n${indexes('deliveries')}`,
};

function indexes(collection: keyof typeof INDEXES): string {
  const keys = INDEXES[collection].map((index) =>
    code(
      Object.entries(index)
        .map(([field, way]) => `${field}: ${way}`)
        .join(', '),
    ),
  );
  return `Indexes besides \`_id\`: ${keys.join('; ')}.`;
}
