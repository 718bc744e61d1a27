import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Guarded, lastLines, startGuarded } from '../../embedded/guarded.ts';

export interface WorkerOptions {
  env: NodeJS.ProcessEnv;
  logFile: string;
  log: (line: string) => void;
}

/** A worker in a process of its own; when it dies another takes its place. */
export interface WorkerProcess {
  /** Rejects when workers die one after the other. */
  broken: Promise<never>;
  /** Resolves when it is gone. */
  stop(): Promise<void>;
}

const COMMAND = fileURLToPath(new URL('../../bin/policy-sync.mjs', import.meta.url));
/** One that lived for less was not killed, but cannot work. */
const SHORT_LIFE_MS = 5_000;
const MOST_SHORT_LIVES = 3;

export async function superviseWorker(options: WorkerOptions): Promise<WorkerProcess> {
  let current = await startWorker(options);
  let stopping = false;
  const keepAlive = async (): Promise<never> => {
    for (let shortLives = 0; ; ) {
      const began = Date.now();
      const { reason } = await current.exited;
      // Whoever waits for a breakdown has nothing to wait for any more.
      if (stopping) return new Promise<never>(() => {});
      shortLives = Date.now() - began < SHORT_LIFE_MS ? shortLives + 1 : 0;
      if (shortLives >= MOST_SHORT_LIVES)
        throw new Error(`the worker does not run (${reason}): ${lastLines(options.logFile, 2)}`);
      options.log(`the worker has ended (${reason}): starting another`);
      await delay(200);
      current = await startWorker(options);
      if (stopping) await current.stop();
    }
  };
  const broken = keepAlive();
  // Looked at by whoever races with it; until then it is no unhandled rejection.
  broken.catch(() => {});
  const stop = async (): Promise<void> => {
    stopping = true;
    await current.stop();
  };
  return { broken, stop };
}

/** Under a guard, so that it ends with this process however this ends. */
async function startWorker({ env, logFile, log }: WorkerOptions): Promise<Guarded> {
  const worker = await startGuarded({
    command: process.execPath,
    args: [COMMAND, 'worker', '--promote'],
    env,
    logFile,
  });
  log(`worker: process ${worker.pid}`);
  return worker;
}
