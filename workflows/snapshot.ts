import { workflowInfo } from '@temporalio/workflow';
import type { Snapshot } from '../activities/types/snapshot.ts';
import { carriedOf, withoutRecord } from './carried.ts';
import { nextDue } from './due.ts';
import type { Parts } from './parts.ts';

/** What MongoDB should hold now, one step further. An activity writes twice: what it is about to do, and what came of it. */
export function nextSnapshot(parts: Parts): Snapshot {
  const { position, inbox, outbox, digest } = parts;
  outbox.step += 2;
  const { life, standing, sync } = position;
  // A change that WeChat Pay holds already is confirmed without a call.
  outbox.noteConfirmation(position);
  const { out_insurance_no } = life.record.policy;
  return {
    mchid: life.record.mchid,
    out_insurance_no,
    life: outbox.lifeId,
    record: life.record,
    sync,
    revision: standing.revision,
    synced_revision: standing.synced_revision,
    step: outbox.step,
    block: standing.block,
    attention: life.attention,
    due: nextDue(position),
    version: inbox.received.version,
    digest,
    window: life.window,
    cancellation: life.cancellation ?? null,
    opened_at: life.opened_at,
    run: knownRun(parts),
    carried: JSON.stringify(withoutRecord(carriedOf(parts))),
    ...outbox.pending(position),
  };
}

/**
 * This run; where a reset made it and no activity has told it so yet, the run that it was made of. The tests' time-skipping
 * server names none.
 */
export function knownRun({ calls }: Parts): string {
  const { runId, originalExecutionRunId } = workflowInfo();
  return calls.toldReset === runId ? runId : originalExecutionRunId || runId;
}
