import type { Place } from '../activities/recording.ts';
import { deleteOldCalls } from '../storage/old_calls.ts';
import { deleteDaily } from './daily.ts';

/**
 * Once a day, by the first worker that looks: deletes calls older than `kept` ms, but for the newest of each policy.
 * @param kept Infinity: none is deleted
 */
export async function keepDeletingOldCalls(place: Place, kept: number, signal: AbortSignal): Promise<void> {
  const { storage, log } = place;
  const deleteBefore = async (before: Date): Promise<void> => {
    let calls = 0;
    for await (const { deleted } of deleteOldCalls(storage, before)) {
      calls += deleted;
      if (signal.aborted) break;
    }
    if (calls > 0) log.info({ calls, before }, 'old calls are deleted');
  };
  await deleteDaily(place, { what: 'calls', kept, deleteBefore }, signal);
}
