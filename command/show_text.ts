import type { Execution, PendingCall } from '../client/pending_call.ts';
import type { PolicyId } from '../client/start_operation.ts';
import { todoOf } from '../policy/blocks.ts';
import { standstillOf } from '../policy/standstill.ts';
import { shortState } from '../policy/state.ts';
import { timeForPeople } from '../policy/time.ts';
import type { Call } from '../storage/documents.ts';
import type { Kept } from '../storage/kept.ts';
import type { Status } from '../workflows/messages.ts';
import { pairsOf, tableOf } from './output.ts';

/** All that is known of a policy, from where it is known. `null`: not known there. */
export interface Shown extends PolicyId {
  /** What its workflow says; an ended one too, while Temporal keeps its history and a worker runs. */
  status: Status | null;
  /** What Temporal says of the workflow. */
  workflow: Execution | null;
  /** What MongoDB keeps, personal values masked unless they were asked for. */
  kept: Kept | null;
}

/** What `show` writes for people. */
export function textOfShown(shown: Shown, now: number = Date.now()): string {
  const title = `${shown.mchid}/${shown.out_insurance_no}`;
  return [title, standingText(shown), fields(shown.kept), history(shown.kept, now)]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** Where it stands, and which calls are under way: nothing personal. */
export function standingText(shown: Shown): string {
  return [standing(shown), ...(shown.workflow?.pending ?? []).map(pendingText)]
    .filter((part) => part !== '')
    .join('\n\n');
}

function standing({ status, workflow, kept }: Shown): string {
  const document = kept?.document;
  const rows: [string, string | null | undefined][] = [
    ['state', status?.state ?? (document && shortState(document.policy_state))],
    ['sync', syncText(status?.sync ?? document?.sync, workflow, document)],
    ['revision', revisionOf(status ?? document)],
    ['due next', status?.next && `${status.next.what} at ${timeForPeople(status.next.at)}`],
    ['renewal window', status?.window],
    [
      'cancellation',
      status?.cancellation && `${status.cancellation.cause} at ${timeForPeople(status.cancellation.at)}`,
    ],
    ['blocked by', status?.block && blockText(status.block)],
    ['what to do', status?.block && todoOf(status.block.code)],
    ['unverified', status?.unverified && blockText(status.unverified)],
    ['differs in', status?.diverged.join(', ')],
    ['attention', status?.attention.join(', ')],
    ['ended', document?.end],
    ['workflow', workflow && `${workflow.status}, ${workflow.history_length} events, run ${workflow.run_id}`],
  ];
  return pairsOf(rows.flatMap(([name, value]) => (value ? [[name, value] as [string, string]] : [])));
}

/** Of a workflow that stands still, how it stands: what it last said is no longer watched over. */
function syncText(
  sync: string | undefined,
  workflow: Shown['workflow'],
  document?: Kept['document'],
): string | undefined {
  const still = workflow ? standstillOf(workflow.status) : undefined;
  // Ended in MongoDB by its own rules, it needs nobody: Temporal's word is about what came after.
  if (!workflow || !still || (document?.end && document.end !== 'STOPPED')) return sync;
  const since = workflow.still_since ? ` since ${timeForPeople(workflow.still_since)}` : '';
  const before = sync === undefined || sync === still.code ? '' : ` (${sync} before)`;
  return `${still.code}${since}${before}: ${still.reason}`;
}

function revisionOf(of: { revision: number; synced_revision: number } | undefined): string | undefined {
  return of && `${of.revision}, WeChat Pay holds ${of.synced_revision}`;
}

function blockText({ code, message, request_id, at }: NonNullable<NonNullable<Shown['status']>['block']>): string {
  return `${code} ${message}, since ${timeForPeople(at)}${request_id ? `, Request-ID ${request_id}` : ''}`;
}

function pendingText({ activity, attempt, running, paused, next_attempt_at, last_failure }: PendingCall): string {
  const when = running
    ? 'running'
    : paused
      ? 'paused in Temporal: `temporal activity unpause` lets it go on'
      : next_attempt_at
        ? `next try at ${timeForPeople(next_attempt_at)}`
        : 'waiting for a worker';
  return `${activity}: attempt ${attempt}, ${when}${last_failure ? `\n  last: ${last_failure}` : ''}`;
}

function fields(kept: Kept | null): string {
  if (!kept) return '';
  const names = [...new Set([...Object.keys(kept.desired), ...Object.keys(kept.remote ?? {})])];
  const rows = names.map((name) => [name, valueText(kept.desired[name]), valueText(kept.remote?.[name])]);
  return tableOf(['FIELD', 'OURS', 'WECHAT PAY'], rows);
}

function history(kept: Kept | null, now: number): string {
  if (!kept) return '';
  const calls = kept.calls.map((call) => callRow(call, now));
  const found = kept.discrepancies.map((one) => [
    timeForPeople(one.found_at),
    one.field,
    one.kind,
    String(one.became ?? 'open'),
    `ours ${valueText(one.ours)}, WeChat Pay's ${valueText(one.theirs)}`,
  ]);
  const commands = kept.commands.map((one) => [
    timeForPeople(one.at),
    one.command,
    valueText(one.by),
    String(one.revision),
    one.rule ? `refused: ${one.rule}` : changeText(one),
    one.rule ? '' : one.confirmed_at ? timeForPeople(one.confirmed_at) : 'not yet',
  ]);
  return [
    commands.length > 0 ? tableOf(['CAME', 'WHAT', 'FROM', 'REVISION', 'CHANGED', 'CONFIRMED'], commands) : '',
    calls.length > 0 ? tableOf(['CALLED', 'METHOD', 'OUTCOME', 'STATUS', 'CODE', 'REQUEST-ID'], calls) : '',
    found.length > 0 ? tableOf(['FOUND', 'FIELD', 'KIND', 'BECAME', 'VALUES'], found) : '',
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** No attempt lasts longer: the worker that made it has died, or MongoDB was away when it ended. */
const LONGEST_CALL_MS = 60_000;

function callRow(call: Call, now: number): string[] {
  const at = timeForPeople(call.at);
  if ('count' in call)
    return [at, '', `${call.count} attempts not recorded`, '', call.last_code ?? '', call.last_request_id ?? ''];
  if (!('outcome' in call)) {
    const outcome = now - call.at.getTime() > LONGEST_CALL_MS ? 'not recorded' : 'under way';
    return [at, call.method, outcome, '', '', ''];
  }
  const { method, outcome, status, code, request_id } = call;
  return [at, method, outcome, String(status ?? ''), code ?? '', request_id ?? ''];
}

/** What a command changed, by field; of a new policy the names would say nothing that the table above does not. */
function changeText({ command, cause, business_date, reason, before, after }: Kept['commands'][number]): string {
  const fields = command === 'open' ? [] : [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const changes = fields.map(
    (field) => `${field}: ${valueText(before[field]) || '-'} → ${valueText(after[field]) || '-'}`,
  );
  const said = [cause, business_date && `at ${timeForPeople(business_date)}`, reason].filter(Boolean).map(valueText);
  return [...said, ...changes].join('\n');
}

function valueText(value: unknown): string {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
