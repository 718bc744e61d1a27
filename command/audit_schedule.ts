import { type Client, ScheduleAlreadyRunning, ScheduleNotFoundError } from '@temporalio/client';
import { WORKFLOW_QUEUE } from '../workflows/messages.ts';

/** Also the id of the workflow that it starts, so that no two audits run at the same time. */
const SCHEDULE = 'policy-sync-audit';

/** Has Temporal run an audit every so many ms, instead of what it did before. */
export async function scheduleAudit(
  { schedule }: Client,
  { every, fix }: { every: number; fix: boolean },
): Promise<void> {
  const planned = {
    spec: { intervals: [{ every }] },
    policies: { overlap: 'SKIP' as const },
    action: {
      type: 'startWorkflow' as const,
      workflowType: 'policyAudit',
      workflowId: SCHEDULE,
      taskQueue: WORKFLOW_QUEUE,
      args: [{ fix }],
    },
  };
  try {
    await schedule.create({ scheduleId: SCHEDULE, ...planned });
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    await schedule.getHandle(SCHEDULE).update(({ state }) => ({ ...planned, state }));
  }
}

/** Ends the schedule; whether there was one. */
export async function unscheduleAudit({ schedule }: Client): Promise<boolean> {
  try {
    await schedule.getHandle(SCHEDULE).delete();
    return true;
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return false;
    throw error;
  }
}
