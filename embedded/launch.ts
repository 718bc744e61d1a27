import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { EmbeddedServerError, messageOf } from './errors.ts';
import { type Guarded, lastLines } from './guarded.ts';

/** A server just started: who runs it, where its log is, and how to ask whether it is ready. */
export type Launched = { server: Guarded; logFile: string; answers(): Promise<boolean> };

const READY_WITHIN_MS = 30_000;
const ATTEMPTS = 3;

/**
 * Starts a server and waits until it answers. Since another process may take a port that was free a moment ago, it
 * starts anew, on other ports, when that is what ended it.
 * @param what the server as the error names it
 * @param scratch folder that goes when the server cannot be started; later the guard sees to it
 * @throws EmbeddedServerError in one line, with the last lines of the server's log
 */
export async function launch<T extends Launched>(
  what: string,
  start: () => Promise<T>,
  scratch: string | undefined,
): Promise<T> {
  try {
    for (let attempt = 1; ; attempt++) {
      const launched = await start();
      const failure = await failureOf(launched);
      if (failure === undefined) return launched;
      if (attempt === ATTEMPTS || !/address already in use/i.test(failure)) throw new Error(failure);
    }
  } catch (error) {
    if (scratch) rmSync(scratch, { recursive: true, force: true });
    throw new EmbeddedServerError(`the ${what} did not start: ${messageOf(error)}`);
  }
}

async function failureOf({ server, logFile, answers }: Launched): Promise<string | undefined> {
  let over: string | undefined;
  void server.exited.then((exit) => {
    over = exit.reason;
  });
  const deadline = Date.now() + READY_WITHIN_MS;
  while (over === undefined && Date.now() < deadline) {
    if (await answers()) return undefined;
    await delay(50);
  }
  const lines = lastLines(logFile);
  await server.stop();
  const reason = over ?? `no answer within ${READY_WITHIN_MS / 1_000} s`;
  return lines ? `${reason}: ${lines}` : reason;
}
