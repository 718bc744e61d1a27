import { randomUUID } from 'node:crypto';

/**
 * Does something for each of some, so many at a time: one caller begins with the next once it is through with the last.
 * @returns how long each took, in ms, and all of them
 */
export async function callAll<T>(
  some: readonly T[],
  callers: number,
  act: (one: T) => Promise<unknown>,
): Promise<{ each_ms: number[]; all_ms: number }> {
  const left = some.values();
  const each_ms: number[] = [];
  const began = performance.now();
  const caller = async (): Promise<void> => {
    for (const one of left) {
      const from = performance.now();
      await act(one);
      each_ms.push(performance.now() - from);
    }
  };
  await Promise.all(Array.from({ length: Math.min(callers, some.length) }, caller));
  return { each_ms, all_ms: performance.now() - began };
}

/** Workflow ids that no other run has. */
export function bareIds(count: number): string[] {
  const run = randomUUID();
  return Array.from({ length: count }, (_, n) => `bare/${run}/${n}`);
}
