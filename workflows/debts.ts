import { ActivityFailure, TimeoutFailure } from '@temporalio/common';
import { isOwedSoFar, type OwedAttempts } from '../activities/types/snapshot.ts';

/** Of how many activities attempts are remembered that MongoDB has not got. */
const MOST_OWED = 50;

/** Attempts that MongoDB has not got, by activity: plain JSON, handed from run to run. */
export class Debts {
  owed: OwedAttempts[];

  constructor(owed: OwedAttempts[] = []) {
    this.owed = owed;
  }

  /** An activity's account of them: the latest stands for those before it. */
  take(owed: OwedAttempts): void {
    this.owed = [...this.owed.filter((one) => idOf(one) !== idOf(owed)), owed].slice(-MOST_OWED);
  }

  /** MongoDB has these accounts by now. */
  settle(written: readonly OwedAttempts[] = []): void {
    const has = (one: OwedAttempts): boolean =>
      written.some((other) => idOf(other) === idOf(one) && other.count >= one.count);
    this.owed = this.owed.filter((one) => !has(one));
  }
}

/** What a call of this run owes that failed because its worker died; undefined where that is nothing. */
export function owedBy(failure: unknown, workflow_run: string): OwedAttempts | undefined {
  if (!(failure instanceof ActivityFailure) || !(failure.cause instanceof TimeoutFailure)) return undefined;
  const { lastHeartbeatDetails: details } = failure.cause;
  if (!isOwedSoFar(details) || details.count === details.told) return undefined;
  const { told: _known, ...owed } = details;
  return { workflow_run, activity_id: failure.activityId ?? '', ...owed };
}

function idOf({ workflow_run, activity_id }: OwedAttempts): string {
  return `${workflow_run}/${activity_id}`;
}
