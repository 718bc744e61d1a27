import type { Log } from '../activities/log.ts';
import type { Storage } from '../storage/connection.ts';
import { StorageError } from '../storage/errors.ts';
import { countAttention } from '../storage/lives.ts';
import { inTime } from './up.ts';

/** Counting may read much: however often metrics are asked for, it is done no more often. */
const EVERY_MS = 60_000;

/**
 * What asks for a person, counted by kind: the last count, which is renewed where it is a minute old and MongoDB answers;
 * undefined before the first.
 */
export function attentionOf(storage: Storage, log: Log): () => Promise<Record<string, number> | undefined> {
  let last: Record<string, number> | undefined;
  let at = Number.NEGATIVE_INFINITY;
  let counting: Promise<void> | undefined;
  const count = async (): Promise<void> => {
    try {
      last = await countAttention(storage);
      at = Date.now();
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      log.debug({ reason: error.message }, 'what asks for a person could not be counted');
    } finally {
      counting = undefined;
    }
  };
  return async () => {
    if (Date.now() - at < EVERY_MS) return last;
    counting ??= count();
    await inTime(counting);
    return last;
  };
}
