import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { decodeOptionalFailureToOptionalError } from '@temporalio/common/lib/internal-non-workflow/codec-helpers.js';
import proto from '@temporalio/proto';
import { policyOf, workflowIdOf } from '../policy/workflow_id.ts';
import type { Life } from '../storage/lives.ts';
import { WORKFLOW_TYPE } from '../workflows/messages.ts';

// The workflows of policies, as Temporal describes them.

const PAGE = 200;

export type PolicyOf = Pick<Life, '_id' | 'mchid' | 'out_insurance_no'>;
export type Description = Awaited<ReturnType<ReturnType<Client['workflow']['getHandle']>['describe']>>;

/** Policies that have run since `until` at least, paused ones too, a page at a time. */
export async function* runningPolicies({ workflow }: Client, until: number): AsyncGenerator<PolicyOf[]> {
  let page: PolicyOf[] = [];
  const query = `WorkflowType = '${WORKFLOW_TYPE}' AND CloseTime IS NULL`;
  for await (const { workflowId, startTime } of workflow.list({ query, pageSize: PAGE })) {
    const policy = policyOf(workflowId);
    if (policy === undefined || startTime.getTime() > until) continue;
    page.push({ ...policy, _id: `${policy.mchid}/${policy.out_insurance_no}` });
    if (page.length < PAGE) continue;
    yield page;
    page = [];
  }
  yield page;
}

/** Undefined where Temporal knows none. */
export async function describePolicy(
  { workflow }: Client,
  { mchid, out_insurance_no }: PolicyOf,
): Promise<Description | undefined> {
  try {
    return await workflow.getHandle(workflowIdOf(mchid, out_insurance_no)).describe();
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}

export function isOpen({ status }: Description): boolean {
  return status.name === 'RUNNING' || status.name === 'PAUSED';
}

type Pending = NonNullable<Description['raw']['pendingActivities']>[number];

/** It could have run since `before`, and nobody has taken it. */
export function waits({ state, scheduledTime }: Pending, before: number): boolean {
  const { PENDING_ACTIVITY_STATE_SCHEDULED } = proto.temporal.api.enums.v1.PendingActivityState;
  const since = Number(scheduledTime?.seconds ?? 0) * 1000;
  return state === PENDING_ACTIVITY_STATE_SCHEDULED && since > 0 && since < before;
}

/** The words of the failure of its last workflow task, which no workflow of ours puts a value in. */
export async function lastFailure(
  { workflowService, options }: Client,
  { workflowId, runId }: Description,
): Promise<string> {
  const { history } = await workflowService.getWorkflowExecutionHistoryReverse({
    namespace: options.namespace,
    execution: { workflowId, runId },
    maximumPageSize: 5,
  });
  const failed = history?.events?.find((event) => event.workflowTaskFailedEventAttributes);
  const failure = failed?.workflowTaskFailedEventAttributes?.failure;
  const error = await decodeOptionalFailureToOptionalError(options.loadedDataConverter, failure).catch(() => undefined);
  return error?.message.replace(/\s+/g, ' ').slice(0, 200) ?? 'see its history in the Temporal UI';
}
