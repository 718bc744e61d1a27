import { ResourceBasedController } from '@temporalio/worker';

/** Longest time of a call; enough may run at once to keep the rate while each takes that long. */
const CALL_SECONDS = 10;
const MOST_CALLS = 200;
/**
 * As many may run at once, however busy the machine is, as keep the rate while each takes so long (s): more would wait for the processor, where
 * no urgent one overtakes them.
 */
const LEAST_SECONDS = 0.15;
const LEAST_CALLS = 2;
const MOST_POLLS = 10;
/** Shares of the machine that calls may bring into use. */
const BUSY = { targetCpuUsage: 0.7, targetMemoryUsage: 0.9 };

/** How busy the machine is: all merchants' calls of a process share it. */
export function callLoad(): ResourceBasedController {
  return ResourceBasedController.create(BUSY);
}

/**
 * The rate is the queue's, whoever polls it; polls are few where little is to do, for there may be 200 merchants. Many
 * calls run at once where WeChat Pay is slow, few where this machine is: a call that a busy process has taken waits in
 * it, where no urgent one overtakes it, as it does in the queue.
 */
export function paceOf(rate: number, load: ResourceBasedController) {
  const least = Math.max(LEAST_CALLS, Math.ceil(rate * LEAST_SECONDS));
  const most = Math.min(MOST_CALLS, Math.max(MOST_POLLS, Math.ceil(rate * CALL_SECONDS)));
  return {
    maxTaskQueueActivitiesPerSecond: rate,
    tuner: { controller: load, activityTaskSlotOptions: { minimumSlots: least, maximumSlots: most } },
    activityTaskPollerBehavior: { type: 'autoscaling', minimum: 1, initial: 2, maximum: MOST_POLLS },
  } as const;
}
