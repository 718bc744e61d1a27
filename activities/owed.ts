import { activityInfo, heartbeat } from '@temporalio/activity';
import { writeOwed } from '../storage/calls.ts';
import type { OwedAttempts, Snapshot } from './inputs.ts';
import { owedOf, type Place, written } from './recording.ts';

/**
 * Attempts of this activity that MongoDB did not take. The server hands the last heartbeat's details from attempt to
 * attempt, at no event; there is no heartbeat time-out that they could set off.
 */
interface Owed {
  count: number;
  /** How many of them MongoDB has been told of since. */
  told: number;
  last_code?: string;
  last_request_id?: string;
}

function owedSoFar(): Owed {
  const details: unknown = activityInfo().heartbeatDetails;
  return typeof details === 'object' && details !== null && 'told' in details
    ? (details as Owed)
    : { count: 0, told: 0 };
}

/** What the activity that is running owes MongoDB, for the workflow to see to; undefined when nothing. */
export interface Debt {
  owed?: OwedAttempts;
}

/**
 * Keeps account of the attempt just made. One that MongoDB took brings those before it, which it did not, as a summary;
 * while MongoDB takes none, what is owed goes to the next attempt, and with a result to the workflow.
 */
export async function settleOwed(
  place: Place,
  snapshot: Snapshot,
  attempt: { recorded: boolean; code?: string | undefined; request_id?: string | undefined },
): Promise<Debt> {
  const before = owedSoFar();
  const { code, request_id } = attempt;
  const now: Owed = attempt.recorded
    ? before
    : {
        count: before.count + 1,
        told: before.told,
        ...(code !== undefined && { last_code: code }),
        ...(request_id !== undefined && { last_request_id: request_id }),
      };
  if (now.count === now.told) return {};
  const owed = summaryOf(now);
  const told =
    attempt.recorded && (await written(place, 'owed', () => writeOwed(place.storage, owedOf(snapshot, owed))));
  heartbeat(told ? { ...now, told: now.count } : now);
  return told ? {} : { owed };
}

function summaryOf({ told: _own, ...owed }: Owed): OwedAttempts {
  const { workflowExecution, activityId } = activityInfo();
  return { workflow_run: workflowExecution?.runId ?? '', activity_id: activityId, ...owed };
}
