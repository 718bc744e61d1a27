import type { Client } from '@temporalio/client';
import type { Place } from '../activities/recording.ts';
import { StorageError } from '../storage/errors.ts';
import { deleteOldCommands, deleteOldDiscrepancies, endedBefore } from '../storage/old_entries.ts';
import { erase } from './erasure.ts';
import { reasonOf } from './grpc.ts';
import { keepDeletingOldCalls } from './old_calls.ts';
import type { Settings } from './settings.ts';
import { keepSweeping } from './sweeping.ts';

/** Temporal has forgotten most of them long ago. */
const PATIENCE_MS = 120_000;

/** Takes away what is kept no longer than the settings say: calls, commands, discrepancies, and personal data of ended policies. */
export function keepRetention(
  place: Place,
  temporal: Client,
  kept: Settings['kept'],
  signal: AbortSignal,
): Promise<unknown> {
  const { storage } = place;
  const { calls, commands, discrepancies, personal } = kept;
  return Promise.all([
    keepDeletingOldCalls(place, calls, signal),
    keepSweeping(
      place,
      {
        id: 'commands',
        kept: commands,
        done: 'old commands are deleted',
        sweep: (before) => deleteOldCommands(storage, before),
      },
      signal,
    ),
    keepSweeping(
      place,
      {
        ...{ id: 'discrepancies', kept: discrepancies, done: 'old discrepancies are deleted' },
        sweep: (before) => deleteOldDiscrepancies(storage, before),
      },
      signal,
    ),
    keepSweeping(
      place,
      {
        ...{ id: 'personal', kept: personal, done: 'personal data of policies that ended long ago are erased' },
        sweep: (before) => eraseEnded(place, temporal, before, signal),
      },
      signal,
    ),
  ]);
}

/**
 * One that cannot be erased stops no other: an audit names it, and the next time goes on with it. It ends with the signal, wherever it
 * is: a worker that shuts down waits for no workflow to stop.
 */
async function* eraseEnded(
  { storage, log }: Place,
  temporal: Client,
  before: Date,
  signal: AbortSignal,
): AsyncGenerator<number> {
  for (let last = ''; ; ) {
    const page = await endedBefore(storage, before, last);
    for (const policy of page)
      try {
        await erase({ temporal, storage }, policy, { by: 'retention', patience: PATIENCE_MS, signal });
        yield 1;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof StorageError) throw error;
        const { mchid, out_insurance_no } = policy;
        log.warn(
          { mchid, out_insurance_no, reason: reasonOf(error) },
          'a policy that ended long ago could not be erased',
        );
      }
    if (page.length === 0) return;
    last = page.at(-1)?._id ?? last;
  }
}
