import { WithStartWorkflowOperation } from '@temporalio/client';
import { type PolicyLifecycle, restart, WORKFLOW_TYPE } from '../workflows/messages.ts';

/** Which policy: a number is unique per merchant. */
export interface PolicyId {
  mchid: string;
  out_insurance_no: string;
}

/** The messages that begin a new run. */
export type Restarting = 'reinstate' | 'resume';

/** Starts a new run of an ended or stopped policy from its record in MongoDB. */
export function startFromStorage(
  policy: PolicyId,
  by: Restarting,
  over?: string,
): WithStartWorkflowOperation<PolicyLifecycle> {
  const { typedSearchAttributes, ...options } = restart(policy, by, over);
  return new WithStartWorkflowOperation<PolicyLifecycle>(WORKFLOW_TYPE, {
    ...options,
    typedSearchAttributes: [...typedSearchAttributes],
  });
}
