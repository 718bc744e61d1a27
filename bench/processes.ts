import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { type Guarded, lastLines, startGuarded, type Task } from '../embedded/guarded.ts';

const READY_MS = 120_000;
const LOOK_MS = 20;

/** A process that said that it is ready. */
export interface Ready {
  pid: number;
  /** The line by which it said so. */
  line: string;
  /** From its start to that line, as seen from here. */
  ready_ms: number;
  /** Rejects when it ends by itself. */
  broken: Promise<never>;
  stop(): Promise<unknown>;
}

/**
 * Starts a program and waits until its log has a line like this.
 * @throws an error of one line when it ends before, or takes too long
 */
export async function startReady(task: Task, ready: RegExp): Promise<Ready> {
  const began = performance.now();
  const started = await startGuarded(task);
  const line = await lineOf(started, task.logFile, ready).catch(async (error) => {
    await started.stop();
    throw error;
  });
  let stopping = false;
  const broken = started.exited.then(({ reason }): Promise<never> => {
    if (stopping) return new Promise(() => {});
    throw new Error(`a process has ended (${reason}): ${lastLines(task.logFile, 2)}`);
  });
  // Looked at by whoever races with it; until then it is no unhandled rejection.
  broken.catch(() => {});
  const stop = (): Promise<unknown> => {
    stopping = true;
    return started.stop();
  };
  return { pid: started.pid, line, ready_ms: performance.now() - began, broken, stop };
}

async function lineOf(started: Guarded, logFile: string, ready: RegExp): Promise<string> {
  let over: string | undefined;
  started.exited.then(({ reason }) => {
    over = reason;
  });
  for (const deadline = Date.now() + READY_MS; Date.now() < deadline; await delay(LOOK_MS)) {
    const said = await readFile(logFile, 'utf8').catch(() => '');
    const line = said.split('\n').find((line) => ready.test(line));
    if (line !== undefined) return line;
    if (over !== undefined) break;
  }
  throw new Error(`a process did not start (${over ?? 'it takes too long'}): ${lastLines(logFile, 2)}`);
}
