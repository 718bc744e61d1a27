import { hostname } from 'node:os';
import type { Client } from '@temporalio/client';
import proto from '@temporalio/proto';
import { callQueueOf } from '../workflows/messages.ts';

/** Begins the reason of every limit of ours: one that a person set is left alone. */
const OURS = 'policy-sync: ';
/** A server that does not answer holds up neither other merchants nor the worker's end. */
const ANSWER_MS = 5_000;
const QUIET = /, (\d+) min quiet$/;

/** The limit that Temporal holds for a merchant's calls over all workers, as it was set at run time. */
export interface QueueRate {
  /** Requests a second; undefined where none is set, and the workers' own holds. */
  rate: number | undefined;
  /** Quiet minutes in a row before it was set. */
  quiet: number;
  /** Set by a worker of ours, or by nobody. */
  ours: boolean;
  /** Another each time that it is set. */
  mark: string;
}

type TaskQueueConfig = Awaited<ReturnType<Client['workflowService']['updateTaskQueueConfig']>>['config'];

/** @throws the SDK's error: UNIMPLEMENTED of a server that cannot set one */
export async function queueRate(temporal: Client, mchid: string): Promise<QueueRate> {
  const asked = { ...queueOf(temporal, mchid), reportConfig: true };
  const { config } = await inTime(temporal, () => temporal.workflowService.describeTaskQueue(asked));
  return rateIn(config);
}

/**
 * @param rate undefined takes the limit away
 * @throws the SDK's error, as `queueRate` does
 */
export async function setQueueRate(
  temporal: Client,
  mchid: string,
  { rate, why, quiet }: { rate: number | undefined; why: string; quiet: number },
): Promise<QueueRate> {
  const { taskQueue, ...where } = queueOf(temporal, mchid);
  const wanted = {
    ...where,
    taskQueue: taskQueue.name,
    identity: `${process.pid}@${hostname()}`,
    updateQueueRateLimit: {
      ...(rate !== undefined && { rateLimit: { requestsPerSecond: rate } }),
      reason: `${OURS}${why}, ${quiet} min quiet`,
    },
  };
  const { config } = await inTime(temporal, () => temporal.workflowService.updateTaskQueueConfig(wanted));
  return rateIn(config);
}

function inTime<T>(temporal: Client, ask: () => Promise<T>): Promise<T> {
  return temporal.withDeadline(Date.now() + ANSWER_MS, ask);
}

function queueOf({ options }: Client, mchid: string) {
  const { TASK_QUEUE_TYPE_ACTIVITY } = proto.temporal.api.enums.v1.TaskQueueType;
  return {
    namespace: options.namespace,
    taskQueue: { name: callQueueOf(mchid) },
    taskQueueType: TASK_QUEUE_TYPE_ACTIVITY,
  };
}

function rateIn(config: TaskQueueConfig): QueueRate {
  const { rateLimit, metadata } = config?.queueRateLimit ?? {};
  const { reason = '', updateTime } = metadata ?? {};
  return {
    rate: rateLimit?.requestsPerSecond ?? undefined,
    quiet: Number(QUIET.exec(reason ?? '')?.[1] ?? 0),
    ours: !rateLimit || (reason ?? '').startsWith(OURS),
    mark: `${updateTime?.seconds ?? 0}.${updateTime?.nanos ?? 0}`,
  };
}
