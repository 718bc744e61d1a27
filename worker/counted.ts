import type { Log } from '../activities/log.ts';
import { StorageError } from '../storage/errors.ts';
import { inTime } from './up.ts';

/** Counting may read much: however often metrics are asked for, it is done no more often. */
const EVERY_MS = 60_000;
/** Nor does it take more than this share of the time, however large the fleet. */
const SHARE = 0.02;

/**
 * What `count` counts in MongoDB: the last count, which is renewed where it is a minute old and MongoDB answers; undefined
 * before the first.
 */
export function counted<T>(count: () => Promise<T>, log: Log): () => Promise<T | undefined> {
  let last: T | undefined;
  let again = Number.NEGATIVE_INFINITY;
  let counting: Promise<void> | undefined;
  const renew = async (): Promise<void> => {
    const begun = performance.now();
    try {
      last = await count();
      again = performance.now() + Math.max(EVERY_MS, (performance.now() - begun) / SHARE);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      log.debug({ reason: error.message }, 'policies could not be counted for the metrics');
    } finally {
      counting = undefined;
    }
  };
  return async () => {
    if (performance.now() < again) return last;
    counting ??= renew();
    await inTime(counting);
    return last;
  };
}
