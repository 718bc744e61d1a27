import { UnknownPolicy } from './errors.ts';
import type { Questions } from './questions.ts';

// The runs of a policy's workflow that are over.

/** Endings of a workflow whose policy had not come to its own. */
export const CUT_SHORT: ReadonlySet<string> = new Set(['CANCELLED', 'TERMINATED', 'TIMED_OUT']);

/**
 * The id of the last run, where it is over and had claimed nothing: only its first act fails a run, and one that was
 * cancelled, terminated or timed out may have had none.
 */
export async function unclaimedRun(client: Questions, workflowId: string): Promise<string | undefined> {
  const { runId, status } = await described(client, workflowId);
  if (status.name === 'FAILED') return runId;
  if (!CUT_SHORT.has(status.name)) return undefined;
  const run = client.temporal.workflow.getHandle(workflowId, runId);
  const { events } = await client.ask(workflowId, () => run.fetchHistory());
  const acted = events?.some(
    ({ workflowTaskCompletedEventAttributes: done, workflowExecutionStartedEventAttributes: started }) =>
      done || started?.continuedExecutionRunId,
  );
  return acted ? undefined : runId;
}

/** The life that Temporal saw last, over by now; undefined once its retention is. */
export async function lastLife(client: Questions, workflowId: string): Promise<string | undefined> {
  try {
    const last = await described(client, workflowId);
    // What was refused in its first act has lived nothing: the life is the one before.
    const lived = last.status.name === 'FAILED' ? await lastUnfailed(client, workflowId) : undefined;
    const { raw } = lived === undefined ? last : await described(client, workflowId, lived);
    return raw.workflowExecutionInfo?.firstRunId || undefined;
  } catch (error) {
    if (error instanceof UnknownPolicy) return undefined;
    throw error;
  }
}

function described(client: Questions, workflowId: string, runId?: string) {
  return client.ask(workflowId, () => client.temporal.workflow.getHandle(workflowId, runId).describe());
}

async function lastUnfailed(client: Questions, workflowId: string): Promise<string | undefined> {
  const query = `WorkflowId = '${workflowId}' AND ExecutionStatus != 'Failed'`;
  const runs = client.temporal.workflow.list({ query, pageSize: 1 })[Symbol.asyncIterator]();
  return (await client.ask(workflowId, () => runs.next())).value?.runId;
}
