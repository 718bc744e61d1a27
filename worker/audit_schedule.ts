import { type Client, ScheduleNotFoundError } from '@temporalio/client';
import type { Log } from '../activities/log.ts';
import { AUDIT_SCHEDULE } from '../workflows/messages.ts';
import { reasonOf } from './grpc.ts';

/** Only an audit finds a workflow that was terminated or paused: nothing in Temporal calls us then. */
const ADVICE = 'have one run by `policy-sync audit --every 1h --fix`';

/** Says so where no audit is scheduled, or the schedule is paused. */
export async function warnUnlessAudited({ schedule }: Client, log: Log): Promise<void> {
  const unseen = 'so nobody is told of policies whose workflow was terminated or paused';
  try {
    const { state } = await schedule.getHandle(AUDIT_SCHEDULE).describe();
    if (state.paused) log.warn(`the schedule of the audit is paused, ${unseen}: unpause ${AUDIT_SCHEDULE} in Temporal`);
  } catch (error) {
    if (error instanceof ScheduleNotFoundError) log.warn(`no audit is scheduled, ${unseen}: ${ADVICE}`);
    else
      log.warn(
        { reason: reasonOf(error) },
        `Temporal does not tell whether an audit is scheduled: if none is, ${ADVICE}`,
      );
  }
}
