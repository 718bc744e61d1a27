import { setTimeout as delay } from 'node:timers/promises';
import { memoryOf } from './proc.ts';

/** What a first collection sets free, by finalizers, a second takes. */
const COLLECTIONS = 3;
const PAUSE_MS = 3_000;

/** Memory in MB that processes hold once their garbage is collected; they were started as `COLLECTABLE`. */
export async function settledMemory(pids: readonly number[]): Promise<number> {
  for (let n = 0; n < COLLECTIONS; n++) {
    for (const pid of pids) process.kill(pid, 'SIGWINCH');
    await delay(PAUSE_MS);
  }
  return memoryOf(pids);
}
