import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';

/**
 * Resets a workflow as an operator would: the run that goes on, to a workflow task of its own.
 * @param back which one: 0 is the first, 1 behind the last
 * @returns false where no run goes on
 */
export async function resetWorkflow(temporal: Client, workflowId: string, back: number): Promise<boolean> {
  const { runId, status } = await temporal.workflow.getHandle(workflowId).describe();
  if (status.name !== 'RUNNING') return false;
  const { events } = await temporal.workflow.getHandle(workflowId, runId).fetchHistory();
  const finished = (events ?? []).filter((event) => event.workflowTaskCompletedEventAttributes);
  const workflowTaskFinishEventId = finished[Math.floor(back * finished.length)]?.eventId;
  if (!workflowTaskFinishEventId) return false;
  await temporal.workflowService.resetWorkflowExecution({
    namespace: temporal.options.namespace,
    workflowExecution: { workflowId, runId },
    workflowTaskFinishEventId,
    requestId: randomUUID(),
    reason: 'chaos',
  });
  return true;
}

/** Whether the run that goes on, or the last, was handed the policy by one before it. */
export async function isFreshRun(temporal: Client, workflowId: string): Promise<boolean> {
  const { events } = await temporal.workflow.getHandle(workflowId).fetchHistory();
  return Boolean(events?.[0]?.workflowExecutionStartedEventAttributes?.continuedExecutionRunId);
}
