import { ActivityFailure, TemporalFailure } from '@temporalio/common';
import {
  ActivityCancellationType,
  ApplicationFailure,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  TimeoutFailure,
} from '@temporalio/workflow';
import type { CallActivities, RecordActivities } from '../activities/types/activities.ts';
import { callQueueOf, WORKFLOW_QUEUE } from './messages.ts';

const BACKOFF = { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '10m' } as const;

/** Within a workflow task, which may take 10 s. */
const CLAIM_AT_ONCE = '3s';

export interface CallTerms {
  mchid: string;
  /** 1 is served first. */
  priority: number;
  /** Shown in the UI beside the call; nothing personal. */
  summary: string;
  /** In ms: a call still queued after that comes back, once, so that its waiting can be told of. */
  queuedAtMost?: number;
}

/**
 * The calls of a policy. One attempt is one HTTP request. WAIT_CANCELLATION_COMPLETED: a call that runs is awaited,
 * one that waits is gone at once, so there is never a second writer. A PATCH or POST whose worker died is not
 * repeated by the server: nobody knows its outcome.
 */
export function calls(terms: CallTerms): CallActivities {
  const options = {
    taskQueue: callQueueOf(terms.mchid),
    startToCloseTimeout: '20s',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    priority: { priorityKey: terms.priority },
    summary: terms.summary,
    ...(terms.queuedAtMost !== undefined && { scheduleToStartTimeout: terms.queuedAtMost }),
  } as const;
  const reads = proxyActivities<CallActivities>({ ...options, retry: BACKOFF });
  const writes = proxyActivities<CallActivities>({
    ...options,
    retry: { ...BACKOFF, nonRetryableErrorTypes: ['TemporalTimeout:StartToClose'] },
  });
  return { query: reads.query, verify: reads.verify, push: writes.push, upload: writes.upload };
}

/** Activities on MongoDB alone. Retried without end, or for as long as `within` (ms) says. */
export function records(summary: string, within?: number): RecordActivities {
  return proxyActivities<RecordActivities>({
    taskQueue: WORKFLOW_QUEUE,
    startToCloseTimeout: '10s',
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: { ...BACKOFF, maximumInterval: '1m' },
    summary,
    ...(within !== undefined && { scheduleToCloseTimeout: within }),
  });
}

type Claim = RecordActivities['claim'];

/**
 * Claims a number: in the workflow task itself where MongoDB answers at once, so that who opens a policy waits for one task, and
 * its history has seven events less; otherwise as any other record. A claim made twice by the same life is one.
 */
export async function claim(input: Parameters<Claim>[0]): ReturnType<Claim> {
  const summary = 'claim the number';
  const { claim: atOnce } = proxyLocalActivities<Pick<RecordActivities, 'claim'>>({
    startToCloseTimeout: CLAIM_AT_ONCE,
    scheduleToCloseTimeout: CLAIM_AT_ONCE,
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: { maximumAttempts: 1 },
    summary,
  });
  try {
    return await atOnce(input);
  } catch (error) {
    // What a local activity fails with comes unwrapped.
    if (isCancellation(error) || !(error instanceof TemporalFailure)) throw error;
    return records(summary).claim(input);
  }
}

/** How a call ended that gave no result. */
export type CallFailure = 'queued-too-long' | 'unknown';

/** What a failed call means. A worker that died in the middle leaves an unknown outcome. */
export function failureOf(error: unknown): CallFailure {
  const cause = error instanceof ActivityFailure ? error.cause : undefined;
  if (cause instanceof TimeoutFailure) return cause.timeoutType === 'SCHEDULE_TO_START' ? 'queued-too-long' : 'unknown';
  if (cause instanceof ApplicationFailure) return 'unknown';
  throw error;
}
