import { WithStartWorkflowOperation, type WorkflowStartOptions } from '@temporalio/client';
import { plannedWindow, windowTimes } from '../policy/life.ts';
import type { PolicyRecord } from '../policy/record.ts';
import { shortState } from '../policy/state.ts';
import { instantOf } from '../policy/time.ts';
import { workflowIdOf } from '../policy/workflow_id.ts';
import { type PolicyLifecycle, SEARCH_ATTRIBUTES, WORKFLOW_QUEUE, WORKFLOW_TYPE } from '../workflows/messages.ts';

type Start = WithStartWorkflowOperation<PolicyLifecycle>;
type Attributes = NonNullable<WorkflowStartOptions<PolicyLifecycle>['typedSearchAttributes']>;

/**
 * Starts the policy's workflow unless it runs; a number whose workflow has ended is not started again, unless the last run is
 * known to have claimed nothing (`free`).
 */
export function startFromRecord(record: PolicyRecord, digest: string, free: boolean): Start {
  const { out_insurance_no, insurance_name } = record.policy;
  return new WithStartWorkflowOperation<PolicyLifecycle>(WORKFLOW_TYPE, {
    workflowId: workflowIdOf(record.mchid, out_insurance_no),
    taskQueue: WORKFLOW_QUEUE,
    args: [record, { digest }],
    workflowIdReusePolicy: free ? 'ALLOW_DUPLICATE_FAILED_ONLY' : 'REJECT_DUPLICATE',
    workflowIdConflictPolicy: 'USE_EXISTING',
    typedSearchAttributes: searchAttributesOf(record),
    staticSummary: `${insurance_name} ${out_insurance_no}`,
    staticDetails: detailsOf(record),
  });
}

function searchAttributesOf({ mchid, policy, ...record }: PolicyRecord): Attributes {
  const opens = plannedWindow(policy) === 'none' ? undefined : windowTimes({ mchid, policy, ...record })?.opens;
  const expires = instantOf(policy.expired_time);
  return [
    { key: SEARCH_ATTRIBUTES.mchid, value: mchid },
    { key: SEARCH_ATTRIBUTES.state, value: shortState(policy.policy_state) },
    { key: SEARCH_ATTRIBUTES.type, value: policy.policy_type },
    { key: SEARCH_ATTRIBUTES.sync, value: 'PENDING' },
    ...(expires === undefined ? [] : [{ key: SEARCH_ATTRIBUTES.expires, value: new Date(expires) }]),
    ...(opens === undefined ? [] : [{ key: SEARCH_ATTRIBUTES.opens, value: new Date(opens) }]),
  ];
}

/** Markdown for the UI: nothing personal, and nothing that changes. */
function detailsOf({ mchid, policy }: PolicyRecord): string {
  const rows: [string, unknown][] = [
    ['merchant', mchid],
    ['policy', policy.out_insurance_no],
    ['product', policy.insurance_name],
    ['type', policy.policy_type],
    ['plan', policy.plan_id],
  ];
  const known = rows.filter(([, value]) => value !== undefined);
  return known.map(([name, value]) => `- **${name}**: ${String(value)}`).join('\n');
}
