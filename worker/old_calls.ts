import type { Place } from '../activities/recording.ts';
import { deleteOldCalls } from '../storage/old_calls.ts';
import { keepSweeping } from './sweeping.ts';

/**
 * Once a day, by the first worker that looks: deletes calls older than `kept` ms, but for the newest of each policy.
 * @param kept Infinity: none is deleted
 */
export function keepDeletingOldCalls(place: Place, kept: number, signal: AbortSignal): Promise<void> {
  return keepSweeping(place, { id: 'calls', kept, done: 'old calls are deleted', sweep: counted(place) }, signal);
}

function counted({ storage }: Place) {
  return async function* (before: Date): AsyncGenerator<number> {
    for await (const { deleted } of deleteOldCalls(storage, before)) yield deleted;
  };
}
