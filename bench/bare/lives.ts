// What a client does with the bare workflows.
import { setTimeout as delay } from 'node:timers/promises';
import { type Client, WithStartWorkflowOperation } from '@temporalio/client';
import { approve, call, called, open, WORKFLOW_QUEUE } from './messages.ts';
import type { three } from './workflows.ts';

const LOOK_MS = 200;

/** Three activities, one after the other, awaited. */
export async function runThree({ workflow }: Client, workflowId: string): Promise<void> {
  await workflow.execute<typeof three>('three', { workflowId, taskQueue: WORKFLOW_QUEUE });
}

interface Opening {
  type: 'life' | 'opened' | 'year';
  args?: unknown[];
}

/** Update-with-start, answered after one activity. Of `life` a call follows. */
export async function openBare(
  { workflow }: Client,
  workflowId: string,
  { type, args = [] }: Opening = { type: 'life' },
): Promise<void> {
  await workflow.executeUpdateWithStart(open, {
    startWorkflowOperation: new WithStartWorkflowOperation(type, {
      workflowId,
      taskQueue: WORKFLOW_QUEUE,
      args,
      workflowIdConflictPolicy: 'USE_EXISTING',
    }),
  });
}

/** Answered after a call. */
export async function approveBare({ workflow }: Client, workflowId: string): Promise<void> {
  await workflow.getHandle(workflowId).executeUpdate(approve);
}

/** How long it takes from a signal until the activity that it causes begins, in ms. */
export async function signalBare({ workflow }: Client, workflowId: string): Promise<number> {
  const handle = workflow.getHandle(workflowId);
  const before = await handle.query(called);
  const sent = Date.now();
  await handle.signal(call);
  for (;;) {
    await delay(LOOK_MS);
    const at = await handle.query(called);
    if (at > before) return at - sent;
  }
}
