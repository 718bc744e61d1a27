// Servers and workers that a test can kill, and start again where they were.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Exit, lastLines, startGuarded } from '../embedded/guarded.ts';
import { startMongo } from '../embedded/mongodb.ts';
import { steadyPort } from '../embedded/ports.ts';
import { startTemporal } from '../embedded/temporal.ts';
import { until } from './client_namespace.ts';
import type { Line } from './faults_line.ts';

const COMMAND = fileURLToPath(new URL('../bin/policy-sync.mjs', import.meta.url));
// A machine that runs other tests too takes its time to build the workflows' bundle.
const START_MS = 120_000;

/** A server of the test's own. Started again it is where it was, on the files that it had. */
export interface Server {
  port: number;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Asks it to end, and waits until it has. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** `policy-sync worker` in a process of its own, which reaches others by lines of its own. */
export interface WorkerProcess {
  pid: number;
  lines: Record<'temporal' | 'mongodb' | 'wechatpay', Line>;
  /** Resolves when it has ended, however it did. */
  exited: Promise<Exit>;
  running(): boolean;
  /** SIGKILL. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

export async function ownTemporal(directory: string): Promise<Server> {
  const port = await steadyPort();
  const dataDirectory = join(directory, 'temporal');
  const options = { log: () => {}, ui: false, useEnvironment: false, databaseFile: join(dataDirectory, 'temporal.db') };
  return server(port, () => startTemporal({ ...options, dataDirectory, port }));
}

export async function ownMongo(directory: string): Promise<Server & { uri: string }> {
  const port = await steadyPort();
  const start = () => startMongo({ log: () => {}, useEnvironment: false, directory: join(directory, 'mongodb'), port });
  let uri = '';
  const started = await server(port, async () => {
    const mongo = await start();
    uri = mongo.uri;
    return mongo;
  });
  return { ...started, uri };
}

async function server(port: number, begin: () => Promise<{ pid?: number; stop(): Promise<void> }>): Promise<Server> {
  let current = await begin();
  return {
    port,
    kill: async () => {
      if (current.pid !== undefined) process.kill(current.pid, 'SIGKILL');
      // What is behind it, as PostgreSQL behind FerretDB, ends in good order.
      await current.stop();
    },
    stop: () => current.stop(),
    start: async () => {
      current = await begin();
    },
  };
}

export async function workerProcess(logFile: string, env: NodeJS.ProcessEnv): Promise<Omit<WorkerProcess, 'lines'>> {
  const args = [COMMAND, 'worker', '--promote'];
  const { pid, exited, stop } = await startGuarded({ command: process.execPath, args, env, logFile });
  let over = false;
  exited.then(() => {
    over = true;
  });
  await until(async () => {
    const said = await readFile(logFile, 'utf8');
    return over || said.includes('worker is running');
  }, START_MS);
  if (over) throw new Error(`the worker does not run: ${lastLines(logFile)}`);
  return {
    pid,
    exited,
    running: () => !over,
    kill: async () => {
      process.kill(pid, 'SIGKILL');
      await exited;
    },
    stop: async () => void (await stop()),
  };
}
