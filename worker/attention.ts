import type { Log } from '../activities/log.ts';
import type { Storage } from '../storage/connection.ts';
import { StorageError } from '../storage/errors.ts';
import { countAttention } from '../storage/lives.ts';

/** Counting may read much: however often metrics are asked for, it is done no more often. */
const EVERY_MS = 60_000;

/** What asks for a person, counted by kind: the last count while that is fresh, undefined when MongoDB does not answer. */
export function attentionOf(storage: Storage, log: Log): () => Promise<Record<string, number> | undefined> {
  let counted: Promise<Record<string, number> | undefined> | undefined;
  let at = 0;
  return () => {
    if (counted && Date.now() - at < EVERY_MS) return counted;
    at = Date.now();
    counted = countAttention(storage).catch((error: unknown) => {
      // The next to ask counts again.
      at = 0;
      if (!(error instanceof StorageError)) throw error;
      log.debug({ reason: error.message }, 'what asks for a person could not be counted');
      return undefined;
    });
    return counted;
  };
}
