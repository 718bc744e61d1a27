import { setTimeout as delay } from 'node:timers/promises';
import type { NativeConnection } from '@temporalio/worker';
import type { Log } from '../activities/log.ts';
import { codeOf, GRPC, isRefusal, reasonOf } from './grpc.ts';

const DEPLOYMENT = 'policy-sync';
// The server takes a version for current once it has seen it poll.
const TRIES = 60;
const AGAIN_MS = 500;

/** A version of the Worker Deployment, at a server. */
export interface Version {
  connection: NativeConnection;
  namespace: string;
  buildId: string;
}

/** The Worker Deployment version that a build of the workflows is. */
export function deploymentVersion(buildId: string): { deploymentName: string; buildId: string } {
  return { deploymentName: DEPLOYMENT, buildId };
}

/** Makes a version the current one, whose workers must be polling; without a current version no task runs. */
export async function promote(
  { connection, namespace, buildId }: Version,
  { log, signal }: { log: Log; signal: AbortSignal },
): Promise<void> {
  const version = { namespace, deploymentName: DEPLOYMENT, buildId, version: `${DEPLOYMENT}.${buildId}` };
  for (let tries = 1; ; tries++) {
    try {
      await connection.workflowService.setWorkerDeploymentCurrentVersion({ ...version, ignoreMissingTaskQueues: true });
      log.info({ buildId }, 'this version is the current one');
      return;
    } catch (error) {
      if (isRefusal(error) || tries === TRIES)
        throw new Error(`version ${buildId} could not be made the current one: ${reasonOf(error)}`);
    }
    await delay(AGAIN_MS, undefined, { signal });
  }
}

/** Says so where this version gets no work: none is the current one yet, or another is. */
export async function warnUnlessCurrent({ connection, namespace, buildId }: Version, log: Log): Promise<void> {
  const advice = 'run `policy-sync worker --promote`';
  try {
    const { workerDeploymentInfo } = await connection.workflowService.describeWorkerDeployment({
      namespace,
      deploymentName: DEPLOYMENT,
    });
    const current = workerDeploymentInfo?.routingConfig?.currentDeploymentVersion?.buildId;
    if (!current) log.warn(`no version is the current one, so no policy moves: ${advice}`);
    else if (current !== buildId)
      log.warn({ buildId, current }, `another version is the current one, so this one gets no policies: ${advice}`);
  } catch (error) {
    if (codeOf(error) === GRPC.NOT_FOUND) log.warn(`no version is the current one, so no policy moves: ${advice}`);
    else
      log.warn(
        { reason: reasonOf(error) },
        `Temporal does not tell which version is the current one: if none is, ${advice}`,
      );
  }
}
