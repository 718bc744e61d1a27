import type { Log } from '../activities/log.ts';
import type { Storage } from '../storage/connection.ts';
import { StorageError, StorageUnavailable } from '../storage/errors.ts';
import { pause } from './pause.ts';

const AGAIN_MS = 10_000;

/** Makes the indexes as soon as MongoDB is there. They make reports fast; a worker does its work without. */
export async function keepTryingIndexes(storage: Storage, log: Log, signal: AbortSignal): Promise<void> {
  for (let tries = 1; !signal.aborted; tries++) {
    try {
      await storage.ensureIndexes();
      if (tries > 1) log.info('MongoDB is there again, its indexes too');
      return;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      const again = error instanceof StorageUnavailable;
      if (!again) log.error({ reason: error.message }, 'MongoDB did not take the indexes; the next start tries again');
      else if (tries === 1) log.warn({ reason: error.message }, 'calls go on without MongoDB, their records wait');
      if (!again) return;
    }
    await pause(AGAIN_MS, signal);
  }
}
