import type { Place } from '../../activities/recording.ts';
import { deleteOldEvents } from '../../storage/events.ts';
import { deleteDaily } from '../daily.ts';

/**
 * Once a day, by the first worker that looks: deletes events older than `kept` ms, and their deliveries, whatever became of them.
 * @param kept Infinity: none is deleted
 */
export async function keepDeletingOldEvents(place: Place, kept: number, signal: AbortSignal): Promise<void> {
  const { storage, log } = place;
  const deleteBefore = async (before: Date): Promise<void> => {
    const deliveries = await deleteOldEvents(storage, before);
    if (deliveries > 0) log.info({ deliveries, before }, 'old events are deleted');
  };
  await deleteDaily(place, { what: 'events', kept, deleteBefore }, signal);
}
