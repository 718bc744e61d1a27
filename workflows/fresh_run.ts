import { allHandlersFinished, condition, makeContinueAsNewFunc, workflowInfo } from '@temporalio/workflow';
import { DAY } from '../policy/duration.ts';
import { carriedOf } from './carried.ts';
import type { DueTimer } from './due_timer.ts';
import * as messages from './messages.ts';
import type { Parts } from './parts.ts';

/** Age and length at which a run hands over to a fresh one, so that histories, keys and old code die out. */
const RUN_AGE = 90 * DAY;
const RUN_EVENTS = 500;
/** How many more those who asked WeChat Pay may wait for their answer; then a run hands over all the same. */
const PATIENT_EVENTS = 50;

/** When the run is old enough, in epoch ms. */
export function freshRunAt(): number {
  return workflowInfo().runStartTime.getTime() + RUN_AGE;
}

/**
 * A fresh run is to take over now; asked where the loop looks, and nowhere else (`Run.heard`). Those who asked WeChat Pay are answered first, as a run ends only once nobody waits for
 * it; but who asks without end, and gets no answer, must not keep the run for ever.
 */
export function handsOver({ asked, calls }: Parts): boolean {
  const due = isLong(0) || workflowInfo().continueAsNewSuggested || calls.keyChanged || Date.now() >= freshRunAt();
  return due && (!asked.isWaited || isLong());
}

function isLong(patience: number = PATIENT_EVENTS): boolean {
  return workflowInfo().historyLength >= RUN_EVENTS + patience;
}

/** Goes over into a fresh run, unless this one is being stopped. */
export async function handOver(parts: Parts, timer: DueTimer): Promise<void> {
  parts.asked.release();
  await condition(allHandlersFinished);
  if (parts.run.stopping) return;
  timer.cancel();
  const continueAsNew = makeContinueAsNewFunc<messages.PolicyLifecycle>({ workflowType: messages.WORKFLOW_TYPE });
  await continueAsNew(null, { carried: carriedOf(parts) });
}
