import type { PolicyFields } from '../../policy/record.ts';
import type { End } from '../../policy/state.ts';
import type { Snapshot } from './snapshot.ts';

/**
 * Every input carries it: calls run on queues without versions, so a worker of another build may get them. It is
 * raised when a worker of the former format could not do right by an input of the new one.
 */
export const FORMAT = 1;

/** Input of `query`, `push` and `upload`. */
export interface CallInput {
  format: typeof FORMAT;
  snapshot: Snapshot;
  /** What a push or an upload carries, names in the clear. */
  fields?: PolicyFields;
  /** Personal values that WeChat Pay may hold and the record has no more: to be cut out of what it says, too. */
  known?: PolicyFields[];
  /** Nothing is sent before so many ms after the activity was scheduled; absent or 0: at once. */
  delay?: number;
  /**
   * An attempt without effect so many ms (or more) after the activity was scheduled returns `waiting`, so that RETRYING
   * shows. Measured on the server's clock (`currentAttemptScheduledTimestampMs - scheduledTimestampMs`), as all spans
   * of an activity are: the worker's clock may be off, and on the time-skipping server it is by years.
   */
  alert_after?: number;
  /** Which host the first attempt goes to; attempts take them in turn. */
  host: number;
}

/** Input of `verify`: lives for as long as nothing is found. */
export interface VerifyInput {
  format: typeof FORMAT;
  snapshot: Snapshot;
  /** What WeChat Pay is known to hold of the fields that are ours; anything else is a finding. */
  expected: PolicyFields;
  /** WeChat Pay is known not to have the policy: its appearance is the finding. */
  expect_absent?: boolean;
  /** Fields that nobody could open when last seen. */
  unreadable: string[];
  /** WeChat Pay is known to refuse this GET: that it answers is the finding. */
  refused?: boolean;
  /**
   * How long ago WeChat Pay confirmed it, or began to say that it has none, in ms, when the activity was scheduled: verifications come soon after, then
   * further and further apart. The age of an attempt is this and the time since the activity was scheduled.
   */
  age: number;
  /** The longest time between two, in ms. */
  every: number;
  /**
   * An attempt of ours may still land for so many ms after the activity was scheduled: the first answer after that is told,
   * whatever it shows. Absent where none may.
   */
  settles_in?: number;
  /** Id of the payload key of the workflow's run; another active key is a finding, for the run to be made anew. */
  payload_key?: string;
}

export interface RecordInput {
  format: typeof FORMAT;
  snapshot: Snapshot;
  /** The life is over: how it ended. */
  end?: End;
}
