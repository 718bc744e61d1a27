import { proxyActivities } from '@temporalio/workflow';
import type { AuditActivities, AuditResult } from '../activities/types/activities.ts';
import { FORMAT } from '../activities/types/inputs.ts';

const { audit } = proxyActivities<AuditActivities>({
  startToCloseTimeout: '12h',
  // It tells after each page that it goes on.
  heartbeatTimeout: '2m',
  retry: { initialInterval: '10s', maximumInterval: '10m', maximumAttempts: 20 },
});

/**
 * One audit of all policies, as the schedule `policy-sync-audit` starts it: every record whose policy is not at its end or
 * stopped has a running workflow, and every running workflow has its record.
 */
export async function policyAudit(options: { fix?: boolean } = {}): Promise<AuditResult> {
  return audit({ format: FORMAT, fix: options.fix ?? false });
}
