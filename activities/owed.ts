import { activityInfo, heartbeat } from '@temporalio/activity';
import { writeOwed } from '../storage/calls.ts';
import { owedOf, type Place, written } from './recording.ts';
import { isOwedSoFar, type OwedAttempts, type OwedSoFar, type Snapshot } from './types/snapshot.ts';

function owedSoFar(): OwedSoFar {
  const details: unknown = activityInfo().heartbeatDetails;
  return isOwedSoFar(details) ? details : { count: 0, told: 0 };
}

/** What the activity that is running owes MongoDB, for the workflow to see to; undefined when nothing. */
export interface Debt {
  owed?: OwedAttempts;
}

/**
 * Before a request whose intent MongoDB did not take: it is owed from now on, for if the worker dies of it, nobody else
 * knows that it was made.
 */
export function oweAhead(): void {
  const before = owedSoFar();
  heartbeat({ ...before, count: before.count + 1 });
}

/**
 * Keeps account of the attempt just made. One that MongoDB took brings those before it, which it did not, as a summary;
 * while MongoDB takes none, what is owed goes to the next attempt, and with a result to the workflow.
 */
export async function settleOwed(
  place: Place,
  snapshot: Snapshot,
  attempt: { intended: boolean; recorded: boolean; code?: string | undefined; request_id?: string | undefined },
): Promise<Debt> {
  const before = owedSoFar();
  const { code, request_id } = attempt;
  const now: OwedSoFar = attempt.recorded
    ? before
    : {
        count: before.count + 1,
        told: before.told,
        ...(code !== undefined && { last_code: code }),
        ...(request_id !== undefined && { last_request_id: request_id }),
      };
  if (now.count === now.told) {
    // Its outcome says it all: it is owed no longer.
    if (!attempt.intended) heartbeat(now);
    return {};
  }
  const owed = summaryOf(now);
  const told =
    attempt.recorded && (await written(place, 'owed', () => writeOwed(place.storage, owedOf(snapshot, owed))));
  heartbeat(told ? { ...now, told: now.count } : now);
  return told ? {} : { owed };
}

function summaryOf({ told: _own, ...owed }: OwedSoFar): OwedAttempts {
  const { workflowExecution, activityId } = activityInfo();
  return { workflow_run: workflowExecution?.runId ?? '', activity_id: activityId, ...owed };
}
