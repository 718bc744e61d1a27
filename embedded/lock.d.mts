/** Takes a lock between processes; resolves to its release. See lock.mjs. */
export function takeLock(
  file: string,
  options?: { onWait?: (pid: number) => void; giveUpAfter?: number },
): Promise<() => void>;
