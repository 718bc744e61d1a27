import type { Place } from '../activities/recording.ts';
import type { StoredHold } from '../storage/documents.ts';
import { StorageError } from '../storage/errors.ts';
import { clearHold, listHolds } from '../storage/holds.ts';
import { pause } from './pause.ts';

/** Whoever holds a merchant says so in each round; one may be slow, or MongoDB away for a while. */
const SILENT_ROUNDS = 5;

interface Seen {
  hold: StoredHold;
  rounds: number;
}

/**
 * Takes out of MongoDB what a process that was killed while it held a merchant left there, or one that no longer has the
 * merchant: a document that nobody has written again for five rounds. Rounds are counted rather than times compared,
 * for a clock that is off is one of the reasons to hold a merchant.
 */
export async function clearAbandoned(place: Place, every: number, signal: AbortSignal): Promise<void> {
  for (let seen = new Map<string, Seen>(); !signal.aborted; await pause(every, signal)) seen = await round(place, seen);
}

async function round({ storage, log }: Place, before: ReadonlyMap<string, Seen>): Promise<Map<string, Seen>> {
  const seen = new Map<string, Seen>();
  try {
    for (const hold of await listHolds(storage)) {
      const last = before.get(hold._id);
      const rounds = last && isSame(last.hold, hold) ? last.rounds + 1 : 0;
      seen.set(hold._id, { hold, rounds });
      if (rounds < SILENT_ROUNDS) continue;
      await clearHold(storage, { _id: hold._id, probed_at: hold.probed_at });
      log.info({ mchid: hold._id }, 'the hold of a merchant is forgotten: no worker says any more that it holds');
    }
    return seen;
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    // Those who hold could not write meanwhile either: all rounds are counted anew.
    log.debug({ reason: error.message }, 'it could not be seen which merchants are held');
    return new Map();
  }
}

function isSame(one: StoredHold, other: StoredHold): boolean {
  return one.held_by === other.held_by && one.probed_at.getTime() === other.probed_at.getTime();
}
