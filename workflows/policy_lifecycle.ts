import { CancellationScope } from '@temporalio/workflow';
import type { RecordInput } from '../policy/record.ts';
import { performNext } from './call.ts';
import { applyDue, nextDue } from './due.ts';
import { DueTimer } from './due_timer.ts';
import { recordEnd, stop } from './ending.ts';
import { handOver, handsOver } from './fresh_run.ts';
import { partsOfRun } from './listening.ts';
import type { StartOptions } from './messages.ts';
import type { Parts } from './parts.ts';
import { keepRecord, tellReset } from './recording.ts';
import { begin } from './start.ts';
import { show } from './status.ts';

/**
 * The life of one policy, from issuing to its end: messages and due times change what is desired, the loop brings
 * WeChat Pay to it.
 *
 * What it costs, held by tests: an amendment of a synced policy 19 events: three workflow tasks (9), update accepted and
 * completed (2), verification's cancellation requested and done (2), PATCH scheduled, started, completed (3), search
 * attributes PENDING and SYNCED (2), the next verification scheduled (1). A quiet verification: 0. A call that the
 * server retries: 0 per try. A due time: its timer (2) and the same as an amendment without the update's two.
 *
 * @param record the record as handed in; null for a restart from MongoDB. Illegal: the run fails with the rule.
 */
export async function policyLifecycle(record: RecordInput | null, options?: StartOptions | null): Promise<void> {
  const parts = partsOfRun();
  await begin(parts, record, options ?? {});
  await CancellationScope.nonCancellable(() => live(parts));
}

async function live(parts: Parts): Promise<void> {
  const { run, outbox } = parts;
  const timer = new DueTimer(() => run.wake());
  while (!run.stopping) {
    applyDue(parts, Date.now());
    // Before the end: a record of it that MongoDB does not take must not keep the run from being handed over.
    if (handsOver(parts)) {
      tellReset(parts);
      await handOver(parts, timer);
    }
    if (run.stopping) break;
    const end = await recordEnd(parts);
    // What was shown last is PENDING, for WeChat Pay was asked before the end.
    if (end === 'recorded') return show(parts);
    // Whatever came instead is looked at first: no call, and no timer, would come back to the end.
    if (end === 'interrupted') continue;
    timer.keep(nextDue(parts.position));
    show(parts);
    if (outbox.journal.isCrowded && !outbox.recording) outbox.owe();
    keepRecord(parts);
    await performNext(parts);
  }
  await stop(parts);
}
