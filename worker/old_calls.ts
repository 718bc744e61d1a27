import type { Place } from '../activities/recording.ts';
import { StorageError } from '../storage/errors.ts';
import { deleteOldCalls } from '../storage/old_calls.ts';
import { beginSweep } from '../storage/sweeps.ts';
import { pause } from './pause.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const LOOK_EVERY_MS = 60 * 60 * 1000;

/**
 * Once a day, by the first worker that looks: deletes calls older than `kept` ms, but for the newest of each policy.
 * @param kept Infinity: none is deleted
 */
export async function keepDeletingOldCalls(place: Place, kept: number, signal: AbortSignal): Promise<void> {
  if (kept === Number.POSITIVE_INFINITY) return;
  for (let mine = false; !signal.aborted; await pause(LOOK_EVERY_MS, signal))
    try {
      mine ||= await beginSweep(place.storage, 'calls', DAY_MS);
      if (mine) await sweep(place, kept, signal);
      mine = false;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      place.log.warn({ reason: error.message }, 'old calls could not be deleted; it is tried again in an hour');
    }
}

async function sweep({ storage, log }: Place, kept: number, signal: AbortSignal): Promise<void> {
  let calls = 0;
  // By MongoDB's clock: one of a worker that is years ahead would have all of them deleted.
  const before = new Date((await storage.clock()).getTime() - kept);
  for await (const { deleted } of deleteOldCalls(storage, before)) {
    calls += deleted;
    if (signal.aborted) break;
  }
  if (calls > 0) log.info({ calls, before }, 'old calls are deleted');
}
