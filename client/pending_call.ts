import type { Client, WorkflowExecutionDescription } from '@temporalio/client';
import { decodeOptionalFailureToOptionalError } from '@temporalio/common/lib/internal-non-workflow/codec-helpers.js';
import proto, { type temporal } from '@temporalio/proto';
import { idOf } from './arguments.ts';
import type { Questions } from './questions.ts';
import type { PolicyId } from './start_operation.ts';

/** An activity that has not ended: a call to WeChat Pay, or the verification that lasts until it finds something. */
export interface PendingCall {
  /** `query`, `push`, `upload`, `verify`, or `record`: a write to MongoDB. */
  activity: string;
  /** The number of the attempt that runs or comes next, from 1. */
  attempt: number;
  /** It runs at this moment; otherwise it waits, for a worker or for its next try. */
  running: boolean;
  /** Somebody paused it: no further attempt is made. */
  paused: boolean;
  /** RFC 3339, UTC. */
  next_attempt_at: string | null;
  /** Why the last attempt did not end it: an error, or "OK: verified at …, next at …". */
  last_failure: string | null;
}

/** A policy's workflow as Temporal describes it. Times are RFC 3339, UTC. */
export interface Execution {
  workflow_id: string;
  run_id: string;
  /** RUNNING, PAUSED, COMPLETED, CANCELLED, FAILED, … */
  status: string;
  started_at: string;
  closed_at: string | null;
  /** Since when it does not run: closed, or paused. */
  still_since: string | null;
  history_length: number;
  pending: PendingCall[];
}

type PendingActivity = temporal.api.workflow.v1.IPendingActivityInfo;
const { PENDING_ACTIVITY_STATE_STARTED } = proto.temporal.api.enums.v1.PendingActivityState;

/**
 * What Temporal knows of a policy's workflow without a worker's help.
 * @throws the errors of `errors.ts`
 */
export async function describePolicy(client: Questions, policy: PolicyId): Promise<Execution> {
  const workflowId = idOf(policy);
  const found = await client.ask(workflowId, () => client.temporal.workflow.getHandle(workflowId).describe());
  return {
    workflow_id: workflowId,
    run_id: found.runId,
    status: found.status.name,
    started_at: found.startTime.toISOString(),
    closed_at: found.closeTime?.toISOString() ?? null,
    still_since: stillSince(found),
    history_length: found.historyLength,
    pending: await pendingCallsOf(client.temporal, workflowId, found.raw.pendingActivities ?? []),
  };
}

export function stillSince({ closeTime, raw }: WorkflowExecutionDescription): string | null {
  const { pausedTime } = raw.workflowExtendedInfo?.pauseInfo ?? {};
  return closeTime?.toISOString() ?? (pausedTime ? isoOf(pausedTime) : null);
}

/** Pending activities of a workflow as people read them, failures opened where there is a key. */
export function pendingCallsOf(
  temporal: Client,
  workflowId: string,
  activities: readonly PendingActivity[],
): Promise<PendingCall[]> {
  return Promise.all(activities.map((activity) => pendingCallOf(temporal, workflowId, activity)));
}

async function pendingCallOf(temporal: Client, workflowId: string, activity: PendingActivity): Promise<PendingCall> {
  const { loadedDataConverter, namespace } = temporal.options;
  const context = { type: 'workflow', workflowId, namespace } as const;
  const failure = await decodeOptionalFailureToOptionalError(loadedDataConverter, activity.lastFailure, context);
  const running = activity.state === PENDING_ACTIVITY_STATE_STARTED;
  const paused = activity.paused ?? false;
  const next = activity.nextAttemptScheduleTime ?? activity.scheduledTime;
  return {
    activity: activity.activityType?.name ?? 'unknown',
    attempt: activity.attempt ?? 1,
    running,
    paused,
    next_attempt_at: running || paused || !next ? null : isoOf(next),
    last_failure: failure ? failure.message : null,
  };
}

function isoOf({ seconds, nanos }: { seconds?: unknown; nanos?: number | null }): string {
  return new Date(Number(seconds ?? 0) * 1000 + Math.floor((nanos ?? 0) / 1e6)).toISOString();
}
