import { setTimeout as delay } from 'node:timers/promises';

/** Waits `milliseconds`, or until `signal` is aborted: whoever waits looks at it then. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await Promise.allSettled([delay(milliseconds, undefined, { signal })]);
}
