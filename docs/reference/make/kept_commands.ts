import type { Exported, ExportedRun } from '../../../command/export.ts';
import type { Reconciled, ReconciledAll } from '../../../command/reconciled.ts';
import type { Report } from '../../../command/report_text.ts';
import type { CountedVerifications, Waiting } from '../../../storage/fleet_counts.ts';
import type { Erased } from '../../../worker/erasure.ts';
import { words } from './markdown.ts';

// Commands that tell of what is kept: of a fleet, and of one policy.

const POLICY = { mchid: 'Merchant id.', out_insurance_no: 'Number of the policy.' } as const;
const FIELD = ['field', ''] as const;

const REPORT = {
  at: 'When it was made, by the clock of MongoDB.',
  mchid: 'Merchant id; null: of all.',
  policies: 'How many go on.',
  by_state: 'How many of these there are of each state, and in it of each sync.',
  ended: 'How many have ended, by how.',
  oldest_pending: 'The policies whose oldest change has waited longest for WeChat Pay, five at most, see below.',
  blocked: 'How many are BLOCKED, by code.',
  drift_since: 'Since when `drift` is counted.',
  drift: 'Differences that were found: `{field, kind, became, differences}` each.',
  verification: 'How old the last verification is, see below.',
} as const satisfies Record<keyof Report, string>;

const WAITING = {
  ...POLICY,
  sync: 'As `status` has it.',
  command: 'The oldest message or due time that WeChat Pay has not confirmed.',
  revision: 'The revision that it made.',
  at: 'When it came.',
} as const satisfies Record<keyof Waiting, string>;

const VERIFICATIONS = {
  never: 'How many were not verified yet.',
  within:
    'How many were last verified within each `span`, in ms, and not within the one before: `{span, policies}` each; `span` is null for longer ago than all.',
  overdue: 'How many should have been verified more than an hour ago.',
  oldest: 'Whose last verification is the longest ago: `{mchid, out_insurance_no, verified_at}`, or null.',
} as const satisfies Record<keyof CountedVerifications, string>;

const RECONCILED = {
  ...POLICY,
  as_of: 'The time that it is about.',
  verdict: '`same`, `differs`, or `unknown`: of a field that we held it is not known what was held.',
  differs: 'Names of the fields that differed.',
  ours: 'What we held, by field; personal values are masked without `--reveal`.',
  theirs: 'What WeChat Pay was last seen to hold by then; null where that is not known at all.',
  seen_at: 'When it was last seen by then; null where that is not known.',
  absent: 'WeChat Pay had said that it has no such policy.',
  unknown: '`{ours, theirs}`: names of the fields of which it is not known what was held.',
} as const satisfies Record<keyof Reconciled, string>;

const RECONCILED_ALL = {
  as_of: 'The time.',
  policies: 'Policies that were open by then.',
  same: 'How many have this verdict.',
  differs: 'The same.',
  unknown: 'The same.',
} as const satisfies Record<keyof ReconciledAll, string>;

const EXPORTED = {
  ...POLICY,
  exported_at: 'When it was made.',
  record: 'The document of [policies](storage.md#policies), opened; null where there is none.',
  commands: 'All of [commands](storage.md#commands), the latest first.',
  calls: 'All of [calls](storage.md#calls) that are kept.',
  discrepancies: 'All of [discrepancies](storage.md#discrepancies).',
  events: 'All of [events](storage.md#events) that are kept, the first first.',
  deliveries: 'All of [deliveries](storage.md#deliveries) that are kept.',
  findings: 'What the last audit found: [findings](storage.md#findings).',
  temporal: '`{workflow_id, runs}`: what Temporal keeps, see below.',
} as const satisfies Record<keyof Exported, string>;

const EXPORTED_RUN = {
  run_id: 'Its id.',
  status: '`RUNNING`, `COMPLETED`, …',
  started_at: 'When it began.',
  closed_at: 'When it ended; null while it runs.',
  history_length: 'Events of its history, in which the messages and answers rest that made the record.',
} as const satisfies Record<keyof ExportedRun, string>;

const ERASED = {
  ...POLICY,
  erased_at: 'When its record was emptied.',
  commands: 'How many commands were emptied, or had nothing personal.',
  discrepancies: 'The same of discrepancies.',
  runs: 'How many runs of its workflow were deleted by this command.',
} as const satisfies Record<keyof Erased, string>;

/** What each of them writes with `--json`. */
export const KEPT_JSON: Record<string, string> = {
  report: `${words(FIELD, REPORT)}\n\neach of \`oldest_pending\`:\n\n${words(FIELD, WAITING)}\n\n\`verification\`:\n\n${words(FIELD, VERIFICATIONS)}`,
  reconcile: `A line for each policy that was open by then:\n\n${words(FIELD, RECONCILED)}\n\nand then \`{"summary": …}\`:\n\n${words(FIELD, RECONCILED_ALL)}\n\nColumns of CSV are \`ours_FIELD\` and \`theirs_FIELD\` for each field of the policy; a cell says \`unknown\` where it is not known. What this rests on: [Operating](../operating.md#what-was-held-at-a-date).`,
  watch:
    'A line each time something is new. Of the fleet: `at`, `by_sync` (how many policies there are of each sync) and `latest` (the changes and differences since the line before: `{id, policy, at, what, stands, confirmed_at}`). Of one policy: `at`, its [status](messages.md#status) and its `workflow`, as `show` has it.',
  export: `${words(FIELD, EXPORTED)}\n\neach of \`temporal.runs\`:\n\n${words(FIELD, EXPORTED_RUN)}\n\nWithout \`--json\` it writes the same over many lines. The record, and each of \`commands\` and \`discrepancies\`, has \`unreadable\`: the fields that no payload key of this shell opens.`,
  erase: words(FIELD, ERASED),
};
