import type { Command, Option } from 'commander';
import type { ListedPolicy } from '../../../client/list.ts';
import type { Execution, PendingCall } from '../../../client/pending_call.ts';
import type { Opened } from '../../../client/policy_client.ts';
import type { Row } from '../../../command/attention.ts';
import { type Finding as DoctorsFinding, GRADES } from '../../../command/doctor/finding.ts';
import type { Diagnosis } from '../../../command/doctor.ts';
import type { ListedDelivery, SentAgain } from '../../../command/events.ts';
import { EXIT_CODES } from '../../../command/exit_code.ts';
import { COLUMN_NAMES } from '../../../command/import/columns.ts';
import { LINE_RULES } from '../../../command/import/fault.ts';
import type { Reported } from '../../../command/import/report.ts';
import type { Imported } from '../../../command/import.ts';
import type { Summary } from '../../../command/plan.ts';
import { makeProgram } from '../../../command/program.ts';
import type { Shown } from '../../../command/show_text.ts';
import type { Planned, PlannedRow } from '../../../gateway/planned.ts';
import { FINDING_KINDS, type Finding } from '../../../storage/documents.ts';
import type { Kept } from '../../../storage/kept.ts';
import type { Audited } from '../../../worker/audit.ts';
import { KEPT_JSON } from './kept_commands.ts';
import { code, table, words } from './markdown.ts';
import { ANSWER } from './messages.ts';

const POLICY = { mchid: 'Merchant id.', out_insurance_no: 'Number of the policy.' } as const;

const MESSAGE = {
  ...POLICY,
  ...ANSWER,
  status: 'With `--wait`: the [status](messages.md#status) by then.',
} as const;

const OPENED = {
  ...MESSAGE,
  workflow_id: 'Id of its workflow.',
  digest: 'Digest of the record; the update id of `open`.',
  warnings: 'One line each: what hinders the policy although it is open, such as no worker that serves the merchant.',
} as const satisfies Record<keyof Opened | 'status', string>;

const IMPORTED = {
  records: 'Records in the file, bad ones too.',
  bad: 'Records that break a rule. Without `--skip-bad` nothing is opened where there is one.',
  opened: 'Policies that this run opened.',
  already_open: 'Policies that were open with the same record, and were left as they are.',
  failed:
    'Policies that could not be opened: another record has the number, its life is over, or nobody answered for it.',
  report: 'The file that names each bad record and each failure; null where there is none.',
  stopped:
    'Why not every good record was tried, in one line: run the same again. null where each was, and after a dry run.',
} as const satisfies Record<keyof Imported, string>;

const REPORTED = {
  line: 'The line that the record begins on, from 1; the header counts.',
  ...POLICY,
  rule: `A [rule](errors.md#rules), the name of an [error](errors.md#errors), or one of those below.`,
  message: 'One line. It quotes no value of the record.',
} as const satisfies Record<keyof Reported, string>;

const LISTED = {
  ...POLICY,
  state: '`ISSUING`, `APPROVED`, `DECLINED`, `INACTIVE`; null where it is not known.',
  sync: 'See [status](messages.md#status); of a workflow that does not run, its last word.',
  type: 'Its `policy_type`.',
  expires_at: 'RFC 3339, UTC.',
  renewal_opens_at: 'RFC 3339, UTC.',
  workflow: 'Status of its workflow: `RUNNING`, `PAUSED`, `COMPLETED`, …; `ended` where only MongoDB told of it.',
  still_since: 'Since when its workflow does not run; RFC 3339, UTC, or null.',
  code: "With `--attention`: `STOPPED`, `TERMINATED`, `TIMED_OUT`, `PAUSED`, `DIVERGED`; the code of a [block](errors.md#blocks); WeChat Pay's code, or `RETRYING`; the kind of a [finding](../operating.md#audit); a [mark](errors.md#marks). null where it is not known, say without MongoDB.",
  reason: 'With `--attention`: one line, or null. The table cuts it.',
  since: 'With `--attention`: RFC 3339, `+08:00`, or null.',
  attention:
    'With `--attention`: marks, findings and holds, one text each. `mchid` and `out_insurance_no` are null where it is about more than one policy.',
} as const satisfies Record<keyof Row | keyof ListedPolicy, string>;

const SHOWN = {
  ...POLICY,
  status: 'The [status](messages.md#status); null where no worker told.',
  workflow: 'What Temporal says of the workflow, see below; null where it knows none.',
  kept: 'What MongoDB keeps, see below; null without it. Personal values are masked without `--reveal`.',
} as const satisfies Record<keyof Shown, string>;

const WORKFLOW = {
  workflow_id: '`policy/{mchid}/{out_insurance_no}`.',
  run_id: 'Its run.',
  status: '`RUNNING`, `PAUSED`, `COMPLETED`, `CANCELLED`, `TERMINATED`, `FAILED`, …',
  started_at: 'RFC 3339, UTC, like all times here.',
  closed_at: 'null while it runs.',
  still_since: 'Since when it does not run: closed, or paused; null while it runs.',
  history_length: 'Events of this run.',
  pending: 'Calls that have not ended, see below.',
} as const satisfies Record<keyof Execution, string>;

const PENDING = {
  activity: '`query`, `push`, `upload`, `verify`, or a write to MongoDB.',
  attempt: 'From 1 on.',
  running: 'It runs at this moment; otherwise it waits, for a worker or for its next try.',
  paused: 'Somebody paused it in Temporal: no further attempt is made.',
  next_attempt_at: 'null while it runs, or is paused.',
  last_failure: 'Why the last attempt did not end it; null before.',
} as const satisfies Record<keyof PendingCall, string>;

const KEPT = {
  document: 'The document of [policies](storage.md#policies), without `record`, `remote` and `carried`.',
  desired: 'The policy as you want it, by field.',
  remote: 'The policy as WeChat Pay last showed it; null before.',
  differing: 'Names of the fields in which the two differ.',
  calls: 'The latest twenty of [calls](storage.md#calls).',
  discrepancies: 'The latest twenty of [discrepancies](storage.md#discrepancies).',
  commands: 'The latest twenty of [commands](storage.md#commands).',
} as const satisfies Record<keyof Kept, string>;

const DELIVERY = {
  endpoint: 'Name of the endpoint.',
  event: 'Id of the event: its `webhook-id`.',
  type: 'Type of the [event](../events.md).',
  ...POLICY,
  sequence: 'Rises with each event of the policy.',
  state: '`waiting`, `delivered`, `failed`: given up.',
  attempts: 'How often it was tried.',
  at: 'When it happened; RFC 3339, UTC, like all times here.',
  due_at: 'Not tried before; null of one that waits no more.',
  tried_at: 'When it was tried last; null before.',
  reason:
    'Why it was not taken last: `status 500`, `time-out`, `ECONNREFUSED`, `gone`, …; null where it was, or before.',
} as const satisfies Record<keyof ListedDelivery, string>;

const SENT_AGAIN = {
  sent_again: 'How many deliveries are made once more.',
} as const satisfies Record<keyof SentAgain, string>;

const AUDITED = {
  records: 'Records of policies that go on.',
  workflows: 'Workflows that run.',
  found: 'How many were found, by kind.',
  fixed: 'How many of them were fixed, by kind.',
  findings: 'What is left, see below.',
} as const satisfies Record<keyof Audited, string>;

const FINDING = {
  kind: `${FINDING_KINDS.map(code).join(', ')}: see [Operating](../operating.md#audit).`,
  ...POLICY,
  reason: 'One line: what is wrong, and what to do.',
} as const satisfies Record<keyof Finding, string>;

const PLANNED = {
  ...POLICY,
  outlook:
    '`identical`; `push`: a PATCH is next; `upload`: WeChat Pay does not know it, and is given it next; `differs`: WeChat Pay holds otherwise, and nothing is sent; `unknown`: it is not known what WeChat Pay holds now.',
  sync: 'As `status` has it.',
  revision: 'The revision of the record.',
  observed_at: 'When WeChat Pay last showed what it holds; null before.',
  fields: 'What differs, or is sent again with it, see below.',
} as const satisfies Record<keyof Planned, string>;

const PLANNED_FIELD = {
  field: 'Its name.',
  ours: 'The value that you want; personal ones are masked without `--reveal`.',
  theirs: 'The value that WeChat Pay holds; absent where it holds none.',
  fate: '`sent` with the next PATCH; `left` as it is until a person accepts or resumes; `accepted` so; `refused` by WeChat Pay; `held` or `observed`: the policy is.',
  changed:
    'Which message or due time gave ours its value: `{command, by, at}`; null where it is as opened; absent where that may be kept no more.',
  found_at:
    "When WeChat Pay's value was found to be another; null where it was so from the start, or was ours before a change.",
} as const satisfies Record<keyof PlannedRow, string>;

const SUMMARY = {
  policies: 'How many were looked at.',
  by_outlook: 'How many of them have each outlook.',
  to_push: 'How many would have each field sent.',
} as const satisfies Record<keyof Summary, string>;

const DIAGNOSIS = {
  faults: 'How many: policies do not move, or will not for long.',
  warnings: 'How many: it works, and should be set right.',
  findings: 'All that was looked at, see below.',
} as const satisfies Record<keyof Diagnosis, string>;

const DOCTORS_FINDING = {
  about: '`settings`, `merchants`, `merchant` and its id, `temporal`, `mongodb`.',
  grade: `${GRADES.map(code).join(', ')}.`,
  message: 'One line: what is so, and where it is not ok what to do.',
} as const satisfies Record<keyof DoctorsFinding, string>;

const FIELD = ['field', ''] as const;
const MESSAGE_JSON = 'what [every message](#what-a-message-writes) does.';

/** What each command writes with `--json`, one object a line. */
const JSON_OF: Record<string, string> = {
  open: `${words(FIELD, OPENED)}\n\nOf several records, each that fails writes \`{"where": …, "error": …}\`; \`where\` is the file and the line.`,
  import: `${words(FIELD, IMPORTED)}\n\nThe report has a line of JSON for each broken rule, at most ten a record, and for each failure; ids that are none are null:\n\n${words(FIELD, REPORTED)}\n\nRules of a line, before its record is looked at:\n\n${table(
    ['rule', 'when', 'what to do'],
    Object.entries(LINE_RULES).map(([name, [when, todo]]) => [code(name), when, todo]),
  )}\n\nColumns of CSV: ${COLUMN_NAMES.map(code).join(', ')}. How cells are written: [Operating](../operating.md#bringing-a-fleet-in).`,
  ...Object.fromEntries(
    ['approve', 'decline', 'withdraw', 'amend', 'renew', 'reinstate', 'accept'].map((name) => [name, MESSAGE_JSON]),
  ),
  ...Object.fromEntries(
    ['hold', 'unhold', 'observe', 'resume'].map((name) => [
      name,
      `${MESSAGE_JSON}\n\nWith \`--all\`: how many policies answered with \`accepted\`, \`unchanged\` and \`superseded\`, and how many \`failed\`.`,
    ]),
  ),
  cancel: `${MESSAGE_JSON}\n\nWith \`--signal\`: \`mchid\`, \`out_insurance_no\`, and the \`event_id\` of the signal.`,
  verify: words(FIELD, {
    ...POLICY,
    ...ANSWER,
    differences: 'A list of `{field, ours, theirs}`; personal values are masked without `--reveal`.',
  }),
  show: `${words(FIELD, SHOWN)}\n\n\`workflow\`:\n\n${words(FIELD, WORKFLOW)}\n\neach of its \`pending\`:\n\n${words(FIELD, PENDING)}\n\n\`kept\`:\n\n${words(FIELD, KEPT)}\n\nThe document, and each of \`discrepancies\` and \`commands\`, has \`unreadable\`, too: a list of the fields that no payload key of this shell opens, each with the \`reason\`. It is empty where all open.`,
  plan: `${words(FIELD, PLANNED)}\n\neach of its \`fields\`:\n\n${words(FIELD, PLANNED_FIELD)}\n\nWith \`--all\` a line for each policy in which something differs, then \`{"summary": …}\`:\n\n${words(FIELD, SUMMARY)}`,
  ...KEPT_JSON,
  list: `A line for each policy:\n\n${words(FIELD, LISTED)}`,
  events: `A line for each delivery of an event to an endpoint:\n\n${words(FIELD, DELIVERY)}\n\nWith \`--send-again\`:\n\n${words(FIELD, SENT_AGAIN)}`,
  audit: `${words(FIELD, AUDITED)}\n\neach of its \`findings\`:\n\n${words(FIELD, FINDING)}\n\nWith \`--every\`: \`{"scheduled": true, "every": …, "fix": …}\`, \`every\` in ms; with \`--every off\`: \`{"scheduled": false}\`.`,
  doctor: `${words(FIELD, DIAGNOSIS)}\n\neach of its \`findings\`:\n\n${words(FIELD, DOCTORS_FINDING)}`,
  worker: 'Nothing, while all is well: its log, on standard error, is JSON by itself.',
  'codec-server': '`{"url": …}` once it listens, with and without `--json`.',
  serve: '`{"url": …}` once it listens, with and without `--json`. Its log is JSON, on standard error.',
  token: words(FIELD, {
    token: 'The token: nobody can be told it again.',
    entry: 'Its entry for the file of tokens.',
  }),
  sandbox: '`{"url": …}` once it listens, with and without `--json`.',
  keys: words(FIELD, {
    directory: 'The folder.',
    mchid: "The merchant's id.",
    merchant_serial_no: "Serial of the merchant's certificate.",
    wechatpay_public_key_id: "Id of WeChat Pay's public key.",
  }),
};

export function exitCodes(): string {
  return words(['code', 'means'], EXIT_CODES);
}

export function commands(): string {
  const { commands } = makeProgram();
  const unknown = Object.keys(JSON_OF).filter((name) => !commands.some((command) => command.name() === name));
  if (unknown.length > 0) throw new Error(`no such command: ${unknown.join(', ')}`);
  return commands.map(section).join('\n\n');
}

/** What messages write with `--json`. */
export function messageJson(): string {
  return words(FIELD, MESSAGE);
}

/** Options that commands have in common: `accept` has no others. */
const COMMON = makeProgram().commands.find((command) => command.name() === 'accept')?.options ?? [];

export function commonOptions(): string {
  return optionTable(COMMON);
}

function isCommon({ flags, description }: Option): boolean {
  return COMMON.some((common) => common.flags === flags && common.description === description);
}

function section(command: Command): string {
  const json = JSON_OF[command.name()];
  if (json === undefined) throw new Error(`say what ${command.name()} writes with --json`);
  const own = command.options.filter((option) => !isCommon(option));
  const common = command.options.filter(isCommon).map(({ flags }) => code(flags));
  return [
    `### ${command.name()}`,
    `\`policy-sync ${command.name()} ${command.usage()}\`: ${command.description()}.`,
    own.length > 0 ? optionTable(own) : 'No options of its own.',
    common.length > 0 ? `Common ones: ${common.join(', ')}.` : '',
    `With \`--json\`${json.startsWith('|') ? ':\n\n' : ': '}${json}`,
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

function optionTable(options: readonly Option[]): string {
  const rows = options.map(({ flags, description, mandatory, defaultValue, argChoices }) => {
    const [, says = '', told] = /^(.*?)(?: \(default: (.*)\))?$/.exec(description) ?? [];
    const value = defaultValue === undefined ? told : code(String(defaultValue));
    const choices = argChoices ? `: ${argChoices.map(code).join(', ')}` : '';
    return [code(flags), mandatory ? '**required**' : (value ?? ''), `${says}${choices}`];
  });
  return table(['option', 'default', ''], rows);
}
