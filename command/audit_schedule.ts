import { type Client, ScheduleAlreadyRunning, ScheduleNotFoundError } from '@temporalio/client';
import { AUDIT_SCHEDULE, WORKFLOW_QUEUE } from '../workflows/messages.ts';

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
      workflowId: AUDIT_SCHEDULE,
      taskQueue: WORKFLOW_QUEUE,
      args: [{ fix }],
    },
  };
  try {
    await schedule.create({ scheduleId: AUDIT_SCHEDULE, ...planned });
  } catch (error) {
    if (!(error instanceof ScheduleAlreadyRunning)) throw error;
    await schedule.getHandle(AUDIT_SCHEDULE).update(({ state }) => ({ ...planned, state }));
  }
}

/** Ends the schedule; whether there was one. */
export async function unscheduleAudit({ schedule }: Client): Promise<boolean> {
  try {
    await schedule.getHandle(AUDIT_SCHEDULE).delete();
    return true;
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) return false;
    throw error;
  }
}
