import { fault } from '../activities/log.ts';
import type { Place } from '../activities/recording.ts';
import type { StoredSweep } from '../storage/documents.ts';
import { StorageError } from '../storage/errors.ts';
import { beginSweep } from '../storage/sweeps.ts';
import { pause } from './pause.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const LOOK_EVERY_MS = 60 * 60 * 1000;

/** What is taken away once its time is over. */
export interface Sweep {
  id: StoredSweep['_id'];
  /** How long it is kept, in ms; Infinity: for ever. */
  kept: number;
  /** Takes away what is of before a time, and tells now and then how much it was. */
  sweep: (before: Date) => AsyncIterable<number>;
  /** What the log says where anything was. */
  done: string;
}

/** Once a day, by the first worker that looks. */
export async function keepSweeping(place: Place, sweep: Sweep, signal: AbortSignal): Promise<void> {
  if (sweep.kept === Number.POSITIVE_INFINITY) return;
  for (let mine = false; !signal.aborted; await pause(LOOK_EVERY_MS, signal))
    try {
      mine ||= await beginSweep(place.storage, sweep.id, DAY_MS);
      if (mine) await swept(place, sweep, signal);
      mine = false;
    } catch (error) {
      const message = `old ${sweep.id} could not be taken away; it is tried again in an hour`;
      if (error instanceof StorageError) place.log.warn({ reason: error.message }, message);
      // A fault of this program must not end the worker.
      else place.log.error(fault(error), message);
    }
}

async function swept({ storage, log }: Place, { id, kept, sweep, done }: Sweep, signal: AbortSignal): Promise<void> {
  let count = 0;
  // By MongoDB's clock: one of a worker that is years ahead would have all of them deleted.
  const before = new Date((await storage.clock()).getTime() - kept);
  for await (const taken of sweep(before)) {
    count += taken;
    if (signal.aborted) break;
  }
  if (count > 0) log.info({ [id]: count, before }, done);
}
