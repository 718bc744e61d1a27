import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '@temporalio/client';
import proto from '@temporalio/proto';
import { messageOf } from '../error_text.ts';
import { about, type Finding } from './finding.ts';

const { ok, warning } = about('temporal');
const { TASK_QUEUE_TYPE_WORKFLOW } = proto.temporal.api.enums.v1.TaskQueueType;

/** A queue that nobody polls, and a workflow that nobody runs. */
const PROBE = 'policy-sync-doctor';
/** Of whoever says none. */
const USUAL = 3;
const URGENT = 1;
const PATIENCE_MS = 15_000;
const PROBE_ENDS = '30s';

/**
 * Whether the server heeds priorities. No question of Temporal's asks for that, so it is measured: a task of high priority that nobody
 * takes is counted by the priority that it waits under, and by the usual one where priorities are not heeded. It leaves nothing behind.
 */
export async function priorityFindings(temporal: Client): Promise<Finding[]> {
  const unheeded = "a user's change waits behind all verifications of its merchant";
  try {
    const waits = await waitsUnder(temporal);
    if (waits === undefined)
      return [warning('whether it heeds priorities cannot be seen here: measure it with `npm run bench -- latency`')];
    if (waits === URGENT) return [ok('priorities are heeded: an urgent call overtakes what waits')];
    return [
      warning(
        `priorities are not heeded, so ${unheeded}: set matching.useNewMatcher to true in its dynamic configuration`,
      ),
    ];
  } catch (error) {
    return [warning(`whether it heeds priorities could not be measured: ${messageOf(error)}`)];
  }
}

/** The priority that a task of high priority waits under; undefined where the server does not tell. */
async function waitsUnder(temporal: Client): Promise<number | undefined> {
  const probe = await temporal.workflow.start(PROBE, {
    workflowId: `${PROBE}/${crypto.randomUUID()}`,
    taskQueue: PROBE,
    priority: { priorityKey: URGENT },
    // Whatever becomes of this process.
    workflowExecutionTimeout: PROBE_ENDS,
  });
  try {
    for (const until = Date.now() + PATIENCE_MS; Date.now() < until; await delay(100)) {
      const counts = await backlogOf(temporal);
      const waiting = [URGENT, USUAL].find((priority) => Number(counts?.[priority]?.approximateBacklogCount ?? 0) > 0);
      if (waiting !== undefined) return waiting;
    }
    return undefined;
  } finally {
    await probe.terminate('it has been measured').catch(() => {});
    const { workflowService, options } = temporal;
    const workflowExecution = { workflowId: probe.workflowId, runId: probe.firstExecutionRunId };
    await workflowService.deleteWorkflowExecution({ namespace: options.namespace, workflowExecution }).catch(() => {});
  }
}

async function backlogOf({ workflowService, options }: Client) {
  const { statsByPriorityKey } = await workflowService.describeTaskQueue({
    namespace: options.namespace,
    taskQueue: { name: PROBE },
    taskQueueType: TASK_QUEUE_TYPE_WORKFLOW,
    reportStats: true,
  });
  return statsByPriorityKey;
}
