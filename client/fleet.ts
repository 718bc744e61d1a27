import type { WorkflowService } from '@temporalio/client';
import proto from '@temporalio/proto';
import { callQueueOf, WORKFLOW_QUEUE } from '../workflows/messages.ts';

const { TaskQueueType, WorkerVersioningMode } = proto.temporal.api.enums.v1;
const VERSIONED = WorkerVersioningMode.WORKER_VERSIONING_MODE_VERSIONED;
/** Name of the Worker Deployment. */
export const DEPLOYMENT = 'policy-sync';
// gRPC's status codes (grpc/statuscodes.md).
const [NOT_FOUND, UNIMPLEMENTED] = [5, 12];
/** A poll lasts a minute at most: who has not asked for longer is gone. Temporal lists it for five minutes. */
const POLLED_WITHIN_MS = 90_000;

/** A workflow task that has failed so often in a row is stuck. */
export const STUCK_ATTEMPTS = 3;

/** Workers of policies, as Temporal knows them. */
export interface Fleet {
  namespace: string;
  /** Build id of the current version; undefined where none is. */
  current: string | undefined;
  /** Who polls now; without a build id, who has no version, and gets tasks only while none is current. */
  workers: readonly { identity: string; buildId: string | undefined }[];
}

/** @throws ServiceError where Temporal does not tell */
export async function fleetOf(workflowService: WorkflowService, namespace: string): Promise<Fleet> {
  const queue = { taskQueue: { name: WORKFLOW_QUEUE }, taskQueueType: TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW };
  const [{ pollers }, current] = await Promise.all([
    workflowService.describeTaskQueue({ namespace, ...queue }),
    currentVersion(workflowService, namespace),
  ]);
  const since = Date.now() - POLLED_WITHIN_MS;
  const polling = (pollers ?? []).filter(({ lastAccessTime }) => Number(lastAccessTime?.seconds ?? 0) * 1000 > since);
  return {
    namespace,
    current,
    workers: polling.map(({ identity, deploymentOptions }) => ({
      identity: identity ?? '',
      buildId: (deploymentOptions?.workerVersioningMode === VERSIONED && deploymentOptions.buildId) || undefined,
    })),
  };
}

/**
 * Build id of the current version; undefined where none is.
 * @throws ServiceError where Temporal does not tell
 */
export async function currentVersion(workflowService: WorkflowService, namespace: string): Promise<string | undefined> {
  try {
    const asked = { namespace, deploymentName: DEPLOYMENT };
    const { workerDeploymentInfo } = await workflowService.describeWorkerDeployment(asked);
    return workerDeploymentInfo?.routingConfig?.currentDeploymentVersion?.buildId || undefined;
  } catch (error) {
    // No worker has ever run here, or the server knows no versions.
    const { code } = error as { code?: unknown };
    if (code === NOT_FOUND || code === UNIMPLEMENTED) return undefined;
    throw error;
  }
}

/** Whether somebody takes the tasks of the current version. */
export function isServed({ current, workers }: Fleet): boolean {
  return workers.some(({ buildId }) => buildId === current);
}

/**
 * Whether some worker takes the merchant's calls.
 * @throws ServiceError where Temporal does not tell
 */
export async function isMerchantServed(
  workflowService: WorkflowService,
  namespace: string,
  mchid: string,
): Promise<boolean> {
  const queue = { taskQueue: { name: callQueueOf(mchid) }, taskQueueType: TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY };
  const { pollers } = await workflowService.describeTaskQueue({ namespace, ...queue });
  return (pollers ?? []).length > 0;
}

/** Why no policy of the namespace moves, and what to do, in one line; undefined where workers of the current version poll. */
export function standstill(fleet: Fleet): string | undefined {
  if (isServed(fleet)) return undefined;
  const { namespace, current, workers } = fleet;
  if (current === undefined)
    return `no version of the workers is the current one in namespace "${namespace}": start one with \`policy-sync worker --promote\`, or check TEMPORAL_NAMESPACE`;
  const others = [...new Set(workers.flatMap(({ buildId }) => buildId ?? []))].join(', ');
  const advice = others
    ? `start one of it, or make ${others}, which polls, the current one with \`policy-sync worker --promote\``
    : 'start one of it with `policy-sync worker`, or another with --promote';
  return `the current version ${current} has no worker polling in namespace "${namespace}", so no policy moves: ${advice}`;
}
