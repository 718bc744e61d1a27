import type { WorkflowHandle } from '@temporalio/client';

/** The kinds of a history's events, in order: `workflowExecutionStarted`, `activityTaskScheduled`, … */
export async function eventNames(handle: WorkflowHandle): Promise<string[]> {
  const { events } = await handle.fetchHistory();
  return (events ?? []).map((event) => {
    const [name = ''] = Object.entries(event).find(([key, value]) => key.endsWith('EventAttributes') && value) ?? [];
    return name.replace('EventAttributes', '');
  });
}

/** Without workflow tasks: a busy server keeps some of those that left nothing behind. */
export async function lastingEventNames(handle: WorkflowHandle): Promise<string[]> {
  return (await eventNames(handle)).filter((name) => !name.startsWith('workflowTask'));
}
