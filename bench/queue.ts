import proto from '@temporalio/proto';
import { callQueueOf } from '../workflows/messages.ts';
import type { Stage } from './stage.ts';

const { TASK_QUEUE_TYPE_ACTIVITY } = proto.temporal.api.enums.v1.TaskQueueType;

interface Queue {
  /** How many calls wait. */
  waiting: number;
  /** How long the one whose turn is next has waited, in ms. */
  oldest_ms: number;
}

/** The merchant's queue by the Temporal server's own figures, which are some seconds old. */
export async function queueOf({ client: { temporal }, mchid }: Stage): Promise<Queue> {
  const { stats } = await temporal.workflowService.describeTaskQueue({
    namespace: temporal.options.namespace,
    taskQueue: { name: callQueueOf(mchid) },
    taskQueueType: TASK_QUEUE_TYPE_ACTIVITY,
    reportStats: true,
  });
  const { approximateBacklogCount = 0, approximateBacklogAge: age } = stats ?? {};
  return {
    waiting: Number(approximateBacklogCount),
    oldest_ms: Number(age?.seconds ?? 0) * 1000 + (age?.nanos ?? 0) / 1e6,
  };
}
