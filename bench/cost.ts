import type { Client } from '@temporalio/client';
import proto from '@temporalio/proto';

const { History } = proto.temporal.api.history.v1;

/** What a workflow has cost, over its runs. */
export interface Cost {
  events: number;
  /** Of the histories, as protobuf. */
  bytes: number;
  /** What Temporal's Cloud bills, but for attempts of activities, which no history tells of. */
  actions: number;
  attempts: number;
  /** How many events there are of each kind. */
  kinds: Record<string, number>;
  /** How many activities were scheduled of each type. */
  activities: Record<string, number>;
}

/** A start or fresh run, a message, a timer, a change of search attributes, a local activity: one action each. */
const BILLED = [
  'workflowExecutionStarted',
  'workflowExecutionUpdateAccepted',
  'workflowExecutionSignaled',
  'timerStarted',
  'upsertWorkflowSearchAttributes',
  'markerRecorded',
];

/** @param runId of the first run */
export async function costOf({ workflow }: Client, workflowId: string, runId: string): Promise<Cost> {
  const cost: Cost = { events: 0, bytes: 0, actions: 0, attempts: 0, kinds: {}, activities: {} };
  for (let run: string | undefined = runId; run; ) {
    const history: proto.temporal.api.history.v1.IHistory = await workflow.getHandle(workflowId, run).fetchHistory();
    const events = history.events ?? [];
    cost.events += events.length;
    cost.bytes += History.encode(history).finish().length;
    for (const event of events) {
      const kind = kindOf(event);
      add(cost.kinds, kind);
      if (BILLED.includes(kind)) cost.actions++;
      const type = event.activityTaskScheduledEventAttributes?.activityType?.name;
      if (type) add(cost.activities, type);
    }
    run = events.at(-1)?.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId ?? undefined;
  }
  return cost;
}

function kindOf(event: proto.temporal.api.history.v1.IHistoryEvent): string {
  const [name = ''] = Object.entries(event).find(([key, value]) => key.endsWith('EventAttributes') && value) ?? [];
  return name.replace('EventAttributes', '');
}

function add(counts: Record<string, number>, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}
