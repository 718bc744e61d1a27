import type { WorkflowExecutionInfo } from '@temporalio/client';
import { policyOf } from '../policy/workflow_id.ts';
import { SEARCH_ATTRIBUTES, WORKFLOW_TYPE } from '../workflows/messages.ts';
import { expectObject, expectText, wrongType } from './arguments.ts';
import { stillSince } from './pending_call.ts';
import type { PolicyClient } from './policy_client.ts';
import type { PolicyId } from './start_operation.ts';

/** Every condition given must hold. */
export interface ListFilter {
  mchid?: string;
  /** `APPROVED`, … */
  state?: string;
  /** One of them. */
  sync?: readonly string[];
  /** With `sync`: also those whose workflow was stopped or terminated, has timed out, or is paused. */
  or_still?: boolean;
  /** `POLICY_TYPE_CAR`, … */
  type?: string;
  expires_before?: Date;
}

/** A policy as Temporal's visibility shows it: search attributes only, so seconds old at most, and for no rule to rest on. */
export interface ListedPolicy extends PolicyId {
  state: string | null;
  sync: string | null;
  type: string | null;
  /** RFC 3339, UTC. */
  expires_at: string | null;
  renewal_opens_at: string | null;
  /** RUNNING, PAUSED, COMPLETED, CANCELLED, FAILED, … */
  workflow: string;
  /** Since when it does not run; RFC 3339, UTC. */
  still_since: string | null;
}

/**
 * Policies of this namespace, running ones first, each once: its latest run.
 * @throws the errors of `errors.ts`
 */
export async function* listPolicies(client: PolicyClient, filter: ListFilter = {}): AsyncGenerator<ListedPolicy> {
  check(filter);
  const found = client.temporal.workflow.list({ query: queryOf(filter), pageSize: 100 })[Symbol.asyncIterator]();
  for (;;) {
    const { value, done } = await client.ask(undefined, () => found.next());
    if (done) return;
    const listed = listedOf(value);
    if (!listed) continue;
    if (listed.workflow === 'RUNNING') yield listed;
    else {
      const { runId, still_since } = await latestRun(client, value.workflowId);
      // A life that was restarted has older runs, whose attributes tell of a time gone by.
      if (runId === value.runId) yield { ...listed, still_since };
    }
  }
}

/** @throws {PolicyRefused} `type` */
function check(filter: ListFilter): void {
  expectObject(filter, 'filter');
  const { sync, expires_before, or_still: _, ...texts } = filter;
  for (const [name, value] of Object.entries(texts)) if (value !== undefined) expectText(value, `filter.${name}`);
  if (sync !== undefined && !Array.isArray(sync)) throw wrongType('filter.sync', 'a list', sync);
  for (const one of sync ?? []) expectText(one, 'filter.sync');
  const isDate = expires_before instanceof Date && !Number.isNaN(expires_before.getTime());
  if (expires_before !== undefined && !isDate) throw wrongType('filter.expires_before', 'a Date', expires_before);
}

async function latestRun(
  client: PolicyClient,
  workflowId: string,
): Promise<{ runId: string; still_since: string | null }> {
  const found = await client.ask(workflowId, () => client.temporal.workflow.getHandle(workflowId).describe());
  return { runId: found.runId, still_since: stillSince(found) };
}

function queryOf({ mchid, state, sync, or_still, type, expires_before }: ListFilter): string {
  const conditions = [
    `WorkflowType = ${quoted(WORKFLOW_TYPE)}`,
    "ExecutionStatus != 'ContinuedAsNew'",
    mchid === undefined ? '' : `${SEARCH_ATTRIBUTES.mchid.name} = ${quoted(mchid)}`,
    state === undefined ? '' : `${SEARCH_ATTRIBUTES.state.name} = ${quoted(state)}`,
    sync === undefined ? '' : inStep(sync, or_still),
    type === undefined ? '' : `${SEARCH_ATTRIBUTES.type.name} = ${quoted(type)}`,
    expires_before === undefined ? '' : `${SEARCH_ATTRIBUTES.expires.name} < ${quoted(expires_before.toISOString())}`,
  ];
  return conditions.filter((condition) => condition !== '').join(' AND ');
}

function inStep(sync: readonly string[], orStill = false): string {
  const such = `${SEARCH_ATTRIBUTES.sync.name} IN (${sync.map(quoted).join(', ')})`;
  // `Paused` itself is a word that older servers do not know.
  return orStill ? `(${such} OR ExecutionStatus NOT IN ('Running', 'Completed', 'Failed', 'ContinuedAsNew'))` : such;
}

function quoted(text: string): string {
  return `'${text.replace(/['\\]/g, '\\$&')}'`;
}

function listedOf({ workflowId, status, typedSearchAttributes }: WorkflowExecutionInfo): ListedPolicy | undefined {
  const policy = policyOf(workflowId);
  if (policy === undefined) return undefined;
  return {
    ...policy,
    state: typedSearchAttributes.get(SEARCH_ATTRIBUTES.state) ?? null,
    sync: typedSearchAttributes.get(SEARCH_ATTRIBUTES.sync) ?? null,
    type: typedSearchAttributes.get(SEARCH_ATTRIBUTES.type) ?? null,
    expires_at: typedSearchAttributes.get(SEARCH_ATTRIBUTES.expires)?.toISOString() ?? null,
    renewal_opens_at: typedSearchAttributes.get(SEARCH_ATTRIBUTES.opens)?.toISOString() ?? null,
    workflow: status.name,
    still_since: null,
  };
}
