/** The workflow types of the queue `policy-sync`. */
export { policyAudit } from './audit.ts';
export { policyLifecycle } from './policy_lifecycle.ts';
