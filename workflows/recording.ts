import { workflowInfo } from '@temporalio/workflow';
import type { RecordActivities } from '../activities/types/activities.ts';
import { FORMAT } from '../activities/types/inputs.ts';
import type { Behind } from '../activities/types/results.ts';
import type { Snapshot } from '../activities/types/snapshot.ts';
import { records } from './calls.ts';
import type { Parts } from './parts.ts';
import { behind } from './reconciler/desired.ts';
import { knownRun, nextSnapshot } from './snapshot.ts';

/** Brings the owed record to MongoDB without holding the loop; one write at a time, each of the latest. */
export function keepRecord(parts: Parts): void {
  const { outbox, run, calls } = parts;
  // A record beside that of an end or a stop would be the newer one, and know of neither.
  if (!outbox.owesRecord || outbox.recording || run.ending || run.stopping) return;
  outbox.recording = true;
  outbox.owesRecord = false;
  const snapshot = nextSnapshot(parts);
  records('record what MongoDB missed')
    .record({ format: FORMAT, snapshot })
    .then((told) => {
      if (isTaken(parts, told, snapshot) && !('outcome' in told)) calls.payloadKey ??= told.payload_key;
    })
    .finally(() => {
      outbox.recording = false;
      keepRecord(parts);
    });
}

/** Whether MongoDB took the snapshot; it has what was pending then. */
export function isTaken(
  parts: Parts,
  told: Awaited<ReturnType<RecordActivities['record']>>,
  snapshot: Snapshot,
): boolean {
  if ('outcome' in told) takeNumbersAbove(parts, told);
  else parts.outbox.recorded(parts.position, snapshot, told);
  return !('outcome' in told);
}

/**
 * This run counts what was counted already, by a run that a reset of Temporal's undid, or by itself before it was replayed to another state:
 * it goes on above those numbers, and is marked.
 */
export function takeNumbersAbove(
  parts: Parts,
  { ahead: { revision, step }, run: told }: Pick<Behind, 'ahead' | 'run'>,
): void {
  const { position, outbox, run, calls } = parts;
  const { standing, life } = position;
  const isNews = told !== undefined && told !== calls.toldReset;
  if (isNews) calls.toldReset = told;
  // Told by another activity before.
  else if (standing.revision > revision) return;
  outbox.step = Math.max(outbox.step, step);
  // With the step, which only rises: the same run may be told so twice.
  outbox.journal.restart(`${workflowInfo().runId}.${outbox.step}`);
  outbox.events.restart(outbox.lifeId);
  behind(position, revision, Date.now());
  outbox.note(position, 'reset', undefined, life);
  outbox.owe();
  run.wake();
}

/** To a fresh run nothing tells that a reset made this one: before it takes over, this one counts as told. */
export function tellReset(parts: Parts): void {
  const { runId } = workflowInfo();
  const { revision } = parts.position.standing;
  if (knownRun(parts) !== runId) takeNumbersAbove(parts, { ahead: { revision, step: parts.outbox.step }, run: runId });
}
