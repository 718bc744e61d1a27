import { CancelledFailure, isCancellation } from '@temporalio/workflow';
import { FORMAT } from '../activities/types/inputs.ts';
import type { Snapshot } from '../activities/types/snapshot.ts';
import { dueTimes } from '../policy/life.ts';
import { DECLINED, type End } from '../policy/state.ts';
import { failureOf, records } from './calls.ts';
import { interruptible } from './interruptible.ts';
import type { Parts } from './parts.ts';
import { isTaken } from './recording.ts';
import { nextSnapshot } from './snapshot.ts';
import { show } from './status.ts';
import { tellEnd } from './telling.ts';

/** How long the record of a stop is tried. */
const STOP_PATIENCE = 30_000;

/** Records the end of a life that is over, once WeChat Pay was asked last and holds it. */
export async function recordEnd(parts: Parts): Promise<'recorded' | 'interrupted' | 'not-yet'> {
  const { position, run, asked } = parts;
  if (asked.isWaited) return 'not-yet';
  const now = Date.now();
  const declined = position.held.policy_state === DECLINED;
  const due = dueTimes(position.life)[0];
  const endAt = declined ? 0 : due?.what === 'end' ? due.at : Number.POSITIVE_INFINITY;
  // An attempt that may still land must not do so after the end, when nobody looks any more.
  if (endAt > now || !position.isInStep || position.landsBy !== undefined) return 'not-yet';
  const { got_at } = position.standing;
  if (got_at === 0 || got_at < endAt) {
    position.standing.must_query = true;
    return 'not-yet';
  }
  const seen = run.wakeups;
  run.ending = true;
  const recorded = await write(parts, declined ? 'DECLINED' : 'INACTIVE', seen);
  run.ending = recorded && run.wakeups === seen;
  return run.ending ? 'recorded' : 'interrupted';
}

/** Writes the end, unless a message comes first. */
async function write(parts: Parts, end: 'DECLINED' | 'INACTIVE', seen: number): Promise<boolean> {
  const input = { format: FORMAT, snapshot: lastSnapshot(parts, end), end } as const;
  try {
    const told = await interruptible(
      () => records(`record the end: ${end}`).record(input),
      () => parts.run.wakeups !== seen,
    );
    return isTaken(parts, told, input.snapshot);
  } catch (error) {
    // An attempt that fails after it was to be cancelled is not tried again, and fails with its own failure.
    if (!isCancellation(error)) failureOf(error);
    return false;
  }
}

/** With the event of the end, of which what a restart begins from knows. */
function lastSnapshot(parts: Parts, end: End): Snapshot {
  const ended = tellEnd(parts, end);
  const snapshot = nextSnapshot(parts);
  return ended.length > 0 ? { ...snapshot, events: [...(snapshot.events ?? []), ...ended] } : snapshot;
}

/** The button in the UI: stop syncing. What runs has finished by now; the stop is recorded, and the run ends. */
export async function stop(parts: Parts): Promise<never> {
  const { run } = parts;
  show(parts);
  try {
    // A signal that comes meanwhile is accepted as ever: the record that a resume goes on from must have it.
    for (let seen = -1; seen !== run.wakeups; ) {
      seen = run.wakeups;
      const snapshot = { ...lastSnapshot(parts, 'STOPPED'), sync: 'STOPPED' };
      const input = { format: FORMAT, snapshot, end: 'STOPPED' } as const;
      isTaken(parts, await records('record the stop', STOP_PATIENCE).record(input), snapshot);
    }
  } catch (error) {
    // MongoDB is away: the run ends as cancelled all the same, and that is what an audit goes by.
    failureOf(error);
  }
  throw new CancelledFailure('stopped: this policy is no longer synced; resume starts it again');
}
