import proto from '@temporalio/proto';
import type { NativeConnection } from '@temporalio/worker';
import type { Logger } from 'pino';
import { SEARCH_ATTRIBUTES } from '../workflows/messages.ts';

const { IndexedValueType } = proto.temporal.api.enums.v1;
const TYPES = {
  KEYWORD: { number: IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD, name: 'Keyword' },
  DATETIME: { number: IndexedValueType.INDEXED_VALUE_TYPE_DATETIME, name: 'Datetime' },
} as const;

/**
 * Registers the search attributes that the namespace lacks. Where that is not allowed (Temporal Cloud, no
 * permission), says which lack and how to add them: policies cannot start without.
 */
export async function ensureSearchAttributes(
  connection: NativeConnection,
  namespace: string,
  log: Logger,
): Promise<void> {
  const wanted = Object.values(SEARCH_ATTRIBUTES).map(({ name, type }) => ({
    name,
    type: TYPES[type as keyof typeof TYPES],
  }));
  try {
    const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
    const lacking = wanted.filter(({ name }) => !(name in (customAttributes ?? {})));
    if (lacking.length === 0) return;
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(lacking.map(({ name, type }) => [name, type.number])),
    });
    log.info({ added: lacking.map(({ name }) => name) }, 'search attributes registered');
  } catch (error) {
    const commands = wanted.map(({ name, type }) => `--name ${name} --type ${type.name}`).join(' ');
    const advice = `could not register search attributes; where they lack: temporal operator search-attribute create ${commands}`;
    log.warn({ namespace, reason: codeOf(error) }, advice);
  }
}

const DEPLOYMENT = 'policy-sync';
const TRIES = 60;

/** The Worker Deployment version that a build of the workflows is. */
export function deploymentVersion(buildId: string): { deploymentName: string; buildId: string } {
  return { deploymentName: DEPLOYMENT, buildId };
}

/** Makes a version the current one; without a current version no task runs. The server must have seen it polling. */
export async function promote(
  connection: NativeConnection,
  namespace: string,
  buildId: string,
  log: Logger,
): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await connection.workflowService.setWorkerDeploymentCurrentVersion({
        namespace,
        deploymentName: DEPLOYMENT,
        version: `${DEPLOYMENT}.${buildId}`,
        buildId,
        ignoreMissingTaskQueues: true,
      });
      log.info({ buildId }, 'this version is the current one');
      return;
    } catch (error) {
      if (tries === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

/** Warns where the deployment has no current version yet: this worker gets no work then. */
export async function warnWithoutCurrent(connection: NativeConnection, namespace: string, log: Logger): Promise<void> {
  try {
    const { workerDeploymentInfo } = await connection.workflowService.describeWorkerDeployment({
      namespace,
      deploymentName: DEPLOYMENT,
    });
    if (workerDeploymentInfo?.routingConfig?.currentDeploymentVersion) return;
  } catch (error) {
    log.debug({ reason: codeOf(error) }, 'the deployment is not known yet');
  }
  log.warn('no version is the current one, so no policy moves: run `policy-sync worker --promote` once');
}

function codeOf(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: string };
  return `${code ?? ''} ${message ?? ''}`.replace(/\s+/g, ' ').trim().slice(0, 200);
}
