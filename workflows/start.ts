import { ActivityFailure, allHandlersFinished, CancelledFailure, condition, workflowInfo } from '@temporalio/workflow';
import { FORMAT } from '../activities/types/inputs.ts';
import { openedLife } from '../policy/life.ts';
import { parsedRecord, type RecordInput, workflowIdOf } from '../policy/record.ts';
import { refuse } from '../policy/violation.ts';
import { claim, records } from './calls.ts';
import { type Carried, fromCarried, restarted } from './carried.ts';
import { Debts } from './debts.ts';
import { Events } from './events.ts';
import { Inbox } from './inbox.ts';
import { Journal } from './journal.ts';
import { REFUSALS, type StartOptions } from './messages.ts';
import type { Parts } from './parts.ts';
import { showRefused } from './presentation.ts';
import { Position } from './reconciler/position.ts';
import { newStanding } from './reconciler/standing.ts';
import { checkId, failure, keptBy, refuseUnfit } from './refusal.ts';
import { nextSnapshot } from './snapshot.ts';
import { show, statusOf } from './status.ts';
import { stanceOf } from './telling.ts';
import { Transitions, tellRefused } from './transitions.ts';

/**
 * The first act: checks what the run was started with, claims its number, and sets its own search attributes where they lack.
 * @throws the refusal, by which the run fails
 */
export async function begin(parts: Parts, record: RecordInput | null, options: StartOptions): Promise<void> {
  const { run } = parts;
  run.stopWhenCancelled();
  try {
    refuseUnfit(record);
    refuseUnfit(options);
    if (options.carried !== undefined) carryOn(parts, fromCarried(options.carried));
    else if (options.restore) await restore(parts, options.restore);
    else await open(parts, record, options.digest ?? null);
  } catch (error) {
    // Stopped in its first act: an attempt that fails meanwhile is no fault of the record.
    if (run.stopping && error instanceof ActivityFailure) throw new CancelledFailure('stopped before it had begun');
    run.refusal = failure(error);
    tellRefused(run.refusal.type);
    showRefused();
    // Messages that came with the start are answered with the same refusal before the run ends.
    await condition(allHandlersFinished);
    throw run.refusal;
  }
  run.ready = true;
}

async function open(parts: Parts, input: RecordInput | null, digest: string | null): Promise<void> {
  const record = parsedRecord(input);
  const { workflowId, firstExecutionRunId } = workflowInfo();
  checkId(workflowIdOf(record.mchid, record.policy.out_insurance_no));
  parts.digest = digest;
  parts.outbox.lifeId = firstExecutionRunId;
  parts.position = new Position(openedLife(record, Date.now()), newStanding(Date.now()));
  show(parts);
  const claimed = await claim({ format: FORMAT, snapshot: nextSnapshot(parts) });
  if (claimed.outcome === 'exists') refuse(REFUSALS.exists, `${workflowId} ${keptBy(claimed.namespace)}`);
  if (claimed.outcome === 'ended') refuse(REFUSALS.ended, `${workflowId} has ended: ${claimed.end}`);
  if (claimed.events) parts.outbox.events.recorded();
  parts.outbox.note(parts.position, 'open', parts.opener);
}

const NOT_RESTORED = {
  unknown: 'unknown-policy',
  exists: REFUSALS.exists,
  stopped: REFUSALS.stopped,
  erased: REFUSALS.erased,
} as const;

async function restore(parts: Parts, from: NonNullable<StartOptions['restore']>): Promise<void> {
  const { mchid, out_insurance_no, by, over } = from;
  const { firstExecutionRunId: life } = workflowInfo();
  checkId(workflowIdOf(mchid, out_insurance_no));
  const which = { mchid, out_insurance_no, life, by, ...(over !== undefined && { over }) };
  const restored = await records('restore the record').restore({ format: FORMAT, ...which });
  if (restored.outcome !== 'restored') {
    const reasons = {
      unknown: 'is not on record; open it',
      exists: keptBy(restored.namespace),
      stopped: 'was stopped; resume it',
      erased: 'was erased; its number stays used',
    };
    refuse(NOT_RESTORED[restored.outcome], `${out_insurance_no} ${reasons[restored.outcome]}`);
  }
  const carried = restarted(fromCarried(JSON.parse(restored.carried)), restored);
  carryOn(parts, { ...carried, life_id: life, step: Math.max(carried.step, restored.step) });
  const { position, outbox } = parts;
  const { state } = outbox.events;
  state.last = Math.max(state.last, restored.last_event ?? 0);
  outbox.note(position, 'restored', { by }, position.life);
  show(parts);
}

function carryOn(parts: Parts, carried: Carried): void {
  const { outbox, calls } = parts;
  // It was opened before: who opens it again is answered, and nothing more.
  parts.opener = {};
  parts.position = new Position(carried.life, carried.standing);
  parts.inbox = new Inbox(carried.received);
  parts.digest = carried.digest;
  outbox.lifeId = carried.life_id;
  outbox.step = carried.step;
  outbox.owesRecord = carried.owes_record;
  outbox.owesAnswer = carried.owes_record;
  outbox.journal = new Journal(carried.journal);
  outbox.debts = new Debts(carried.owed);
  outbox.events = new Events(carried.events);
  if (!carried.events) outbox.events.begin(stanceOf(parts));
  calls.host = carried.host;
  calls.payloadKey = carried.payload_key;
  parts.transitions = new Transitions({ status: statusOf(parts), outOfStep: carried.out_of_step ?? false });
}
