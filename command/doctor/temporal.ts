import { ScheduleNotFoundError } from '@temporalio/client';
import { connectPolicyClient, keyringOf } from '../../client/connect.ts';
import { fleetOf, standstill } from '../../client/fleet.ts';
import type { PolicyClient } from '../../client/policy_client.ts';
import { misfit } from '../../codec/key_notice.ts';
import { createCommand, lackingIn } from '../../worker/search_attributes.ts';
import { AUDIT_SCHEDULE, callQueueOf } from '../../workflows/messages.ts';
import { messageOf } from '../error_text.ts';
import { about, type Finding } from './finding.ts';
import { priorityFindings } from './priorities.ts';

const { ok, warning, fault } = about('temporal');
// gRPC's status code (grpc/statuscodes.md).
const NOT_FOUND = 5;
const DAY_S = 24 * 60 * 60;
/** The history of a policy that has ended is there for so long to be looked at. */
const RETENTION_DAYS = 7;

/** The server, its namespace, and who polls: everything without which no policy moves. */
export async function temporalFindings(
  env: NodeJS.ProcessEnv,
  mchids: readonly string[],
  timeout: number,
): Promise<Finding[]> {
  let client: PolicyClient | undefined;
  try {
    client = await connectPolicyClient({ env, timeout, boundCalls: true });
    const found = client;
    const namespace = await namespaceFindings(found);
    const looks = [
      attributeFindings(found),
      workerFindings(found, env),
      ...mchids.map((mchid) => queueFindings(found, mchid)),
      auditFindings(found),
      priorityFindings(found.temporal),
    ];
    return [...namespace, ...(await Promise.all(looks)).flat()];
  } catch (error) {
    if ((error as { code?: unknown }).code !== NOT_FOUND) return [fault(messageOf(error))];
    const { namespace } = client?.temporal.options ?? {};
    return [fault(`TEMPORAL_NAMESPACE: expected a namespace of the server, found "${namespace}", which it has not`)];
  } finally {
    await client?.close();
  }
}

async function namespaceFindings({ temporal }: PolicyClient): Promise<Finding[]> {
  const { namespace } = temporal.options;
  const { config } = await temporal.workflowService.describeNamespace({ namespace });
  const days = Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0) / DAY_S;
  const said = `namespace "${namespace}" keeps a run for ${Math.round(days * 10) / 10} days after its end`;
  return [
    days < RETENTION_DAYS
      ? warning(`${said}: ${RETENTION_DAYS} or more let people look at policies that have ended`)
      : ok(said),
  ];
}

async function attributeFindings({ temporal }: PolicyClient): Promise<Finding[]> {
  const { namespace } = temporal.options;
  const { operatorService } = temporal.connection;
  const lacking = await lackingIn({ operatorService }, namespace);
  if (lacking.length === 0) return [ok('all search attributes are registered')];
  return [fault(`search attributes lack, so no policy can start: ${createCommand(namespace, lacking)}`)];
}

async function workerFindings(client: PolicyClient, env: NodeJS.ProcessEnv): Promise<Finding[]> {
  const { workflowService, options } = client.temporal;
  const fleet = await fleetOf(workflowService, options.namespace);
  const { workers, current } = fleet;
  const idle = standstill(fleet);
  const other = misfit(
    keyringOf(env),
    workers.map(({ identity }) => identity),
  );
  return [
    idle === undefined ? ok(`${workers.length} workers poll; the current version is ${current}`) : fault(idle),
    ...(other === undefined ? [] : [fault(other)]),
  ];
}

async function queueFindings(client: PolicyClient, mchid: string): Promise<Finding[]> {
  const queue = callQueueOf(mchid);
  if (await client.isServed(mchid)) return [ok(`a worker polls ${queue}`)];
  return [
    fault(
      `no worker polls ${queue}: add the merchant to the WECHATPAY_MERCHANTS file of a worker that runs; one that is held has no poller either, see \`list --attention\``,
    ),
  ];
}

async function auditFindings({ temporal }: PolicyClient): Promise<Finding[]> {
  const unseen = 'nobody is told of policies whose workflow was terminated or paused';
  try {
    const { state } = await temporal.schedule.getHandle(AUDIT_SCHEDULE).describe();
    return [
      state.paused
        ? warning(`the schedule of the audit is paused, so ${unseen}: unpause ${AUDIT_SCHEDULE}`)
        : ok('an audit is scheduled'),
    ];
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error;
    return [warning(`no audit is scheduled, so ${unseen}: \`policy-sync audit --every 1h --fix\``)];
  }
}
