import { setTimeout as delay } from 'node:timers/promises';
import type { NativeConnection } from '@temporalio/worker';
import type { Log } from '../activities/log.ts';
import { currentVersion, DEPLOYMENT, fleetOf } from '../client/fleet.ts';
import { misfit } from '../codec/key_notice.ts';
import type { Keyring } from '../codec/keys.ts';
import { isSealed } from './bundle.ts';
import { isRefusal, reasonOf } from './grpc.ts';
import { SettingsError } from './settings.ts';

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

/**
 * Before a worker without payload keys takes anything: it could read nothing of a namespace whose current version takes sealed
 * payloads, and would have what comes next rest in the clear.
 * @throws {SettingsError}
 */
export async function refuseUnsealed(version: Version): Promise<void> {
  if (isSealed(version.buildId)) return;
  const current = await currentVersion(version.connection.workflowService, version.namespace).catch(() => undefined);
  if (current === undefined || !isSealed(current)) return;
  throw new SettingsError([
    `POLICY_SYNC_KEYS: expected the payload keys of namespace "${version.namespace}", whose current version ${current} seals, found nothing: set it as its workers have it, or use another TEMPORAL_NAMESPACE`,
  ]);
}

/** Says so where other workers of this version have payload keys that do not go with these: the one refuses what the other takes. */
export async function warnOfOtherKeys(
  { connection, namespace, buildId }: Version,
  keyring: Keyring | undefined,
  log: Log,
): Promise<void> {
  try {
    const { workers } = await fleetOf(connection.workflowService, namespace);
    const others = workers.filter((one) => one.buildId === buildId).map(({ identity }) => identity);
    const fault = misfit(keyring, others);
    if (fault !== undefined) log.error(`${fault}; until then this worker refuses what the others take`);
  } catch (error) {
    log.debug({ reason: reasonOf(error) }, 'Temporal does not tell who polls');
  }
}

/** Says so where this version gets no work: none is the current one yet, or another is. */
export async function warnUnlessCurrent(version: Version, log: Log): Promise<void> {
  const advice = 'run `policy-sync worker --promote`';
  const { connection, namespace, buildId } = version;
  try {
    const current = await currentVersion(connection.workflowService, namespace);
    if (!current) log.warn(`no version is the current one, so no policy moves: ${advice}`);
    else if (current !== buildId)
      log.warn({ buildId, current }, `another version is the current one, so this one gets no policies: ${advice}`);
  } catch (error) {
    log.warn(
      { reason: reasonOf(error) },
      `Temporal does not tell which version is the current one: if none is, ${advice}`,
    );
  }
}
