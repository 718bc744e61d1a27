import type { Log } from '../activities/log.ts';
import { StorageError } from '../storage/errors.ts';
import { codeOf, reasonOf } from './grpc.ts';
import { inTime } from './up.ts';

/** Counting may read much: however often metrics are asked for, it is done no more often. */
const EVERY_MS = 60_000;
/** Nor does it take more than this share of the time, however large the fleet. */
const SHARE = 0.02;

/**
 * What `count` counts in MongoDB or Temporal: the last count, which is renewed where it is a minute old and the server
 * answers; undefined before the first.
 */
export function counted<T>(count: () => Promise<T>, log: Log): () => Promise<T | undefined> {
  let last: T | undefined;
  let again = Number.NEGATIVE_INFINITY;
  let counting: Promise<void> | undefined;
  const renew = async (): Promise<void> => {
    const begun = performance.now();
    try {
      last = await count();
    } catch (error) {
      if (!(error instanceof StorageError) && codeOf(error) === undefined) throw error;
      log.debug({ reason: reasonOf(error) }, 'a server did not answer what the metrics ask');
    } finally {
      // What was given up may go on at the server.
      again = performance.now() + Math.max(EVERY_MS, (performance.now() - begun) / SHARE);
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
