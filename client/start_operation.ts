import { WithStartWorkflowOperation } from '@temporalio/client';
import { type PolicyLifecycle, restart, WORKFLOW_TYPE } from '../workflows/messages.ts';

/** Which policy: a number is unique per merchant. */
export interface PolicyId {
  mchid: string;
  out_insurance_no: string;
}

/** Starts a new run of an ended or stopped policy from its record in MongoDB. */
export function startFromStorage(
  policy: PolicyId,
  by: 'reinstate' | 'resume',
  over?: string,
): WithStartWorkflowOperation<PolicyLifecycle> {
  const { typedSearchAttributes, ...options } = restart(policy, by, over);
  return new WithStartWorkflowOperation<PolicyLifecycle>(WORKFLOW_TYPE, {
    ...options,
    typedSearchAttributes: [...typedSearchAttributes],
  });
}
