import type { Client } from '@temporalio/client';
import proto from '@temporalio/proto';
import { callQueueOf, WORKFLOW_QUEUE } from '../workflows/messages.ts';

const { TASK_QUEUE_TYPE_WORKFLOW, TASK_QUEUE_TYPE_ACTIVITY } = proto.temporal.api.enums.v1.TaskQueueType;

/** What waits in a queue of Temporal's, for a worker or for its rate; verifications that are not due do not. */
export interface Backlog {
  queue: string;
  tasks: number;
}

/** @throws ServiceError where Temporal does not tell */
export async function backlogs(
  { workflowService, options: { namespace } }: Client,
  mchids: readonly string[],
): Promise<Backlog[]> {
  const tasksIn = async (name: string, taskQueueType: number): Promise<number> => {
    const asked = { namespace, taskQueue: { name }, taskQueueType, reportStats: true };
    return Number((await workflowService.describeTaskQueue(asked)).stats?.approximateBacklogCount ?? 0);
  };
  const own = Promise.all(
    [TASK_QUEUE_TYPE_WORKFLOW, TASK_QUEUE_TYPE_ACTIVITY].map((type) => tasksIn(WORKFLOW_QUEUE, type)),
  ).then(([workflows = 0, records = 0]) => ({ queue: WORKFLOW_QUEUE, tasks: workflows + records }));
  const calls = mchids.map(callQueueOf).map(async (queue) => ({
    queue,
    tasks: await tasksIn(queue, TASK_QUEUE_TYPE_ACTIVITY),
  }));
  return Promise.all([own, ...calls]);
}
