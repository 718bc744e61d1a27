import type { Place } from '../activities/recording.ts';
import type { StoredSweep } from '../storage/documents.ts';
import { StorageError } from '../storage/errors.ts';
import { beginSweep } from '../storage/sweeps.ts';
import { pause } from './pause.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const LOOK_EVERY_MS = 60 * 60 * 1000;

/**
 * Once a day, by the first worker that looks: has what is older than `kept` ms deleted. By MongoDB's clock: one of a worker that is
 * years ahead would have all of it deleted.
 * @param kept Infinity: none is deleted
 */
export async function deleteDaily(
  place: Place,
  {
    what,
    kept,
    deleteBefore,
  }: { what: StoredSweep['_id']; kept: number; deleteBefore: (before: Date) => Promise<void> },
  signal: AbortSignal,
): Promise<void> {
  if (kept === Number.POSITIVE_INFINITY) return;
  for (let mine = false; !signal.aborted; await pause(LOOK_EVERY_MS, signal))
    try {
      mine ||= await beginSweep(place.storage, what, DAY_MS);
      if (mine) await deleteBefore(new Date((await place.storage.clock()).getTime() - kept));
      mine = false;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      place.log.warn({ reason: error.message }, `old ${what} could not be deleted; it is tried again in an hour`);
    }
}
