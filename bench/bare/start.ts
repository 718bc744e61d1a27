import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import type { BenchOptions } from '../bench.ts';
import { BARE_BUNDLE, BARE_WORKER, COLLECTABLE } from '../built.ts';
import { type Ready, startReady } from '../processes.ts';
import { type Stage, type StageOptions, setStage } from '../stage.ts';
import { CALL_QUEUE, WORKFLOW_QUEUE } from './messages.ts';

/** Measures on a stage with bare workflows beside, until that is done or a worker ends. */
export async function onStage<T>(
  { say }: BenchOptions,
  options: Omit<StageOptions, 'say'>,
  measure: (stage: Stage, bare: Bare) => Promise<T>,
): Promise<T> {
  const stage = await setStage({ ...options, say });
  try {
    const bare = await startBare(stage, options);
    const measured = Promise.race([measure(stage, bare), stage.broken, bare.worker.broken]);
    return await measured.finally(() => bare.end());
  } finally {
    await stage.end();
  }
}

/** Bare workflows on the servers of a stage: a worker of theirs, and a client that seals nothing. */
export interface Bare {
  worker: Ready;
  client: Client;
  end(): Promise<void>;
}

type BareOptions = Pick<StageOptions, 'collectable'>;

type Place = Pick<Stage, 'address' | 'namespace' | 'directory' | 'rate'>;

async function startBare(stage: Place, options: BareOptions = {}): Promise<Bare> {
  const worker = await startBareWorker(stage, options);
  const connection = await Connection.connect({ address: stage.address, channelArgs: { 'grpc.enable_http_proxy': 0 } });
  return {
    worker,
    client: new Client({ connection, namespace: stage.namespace }),
    end: async () => {
      await connection.close();
      await worker.stop();
    },
  };
}

let started = 0;

export function startBareWorker(
  { address, namespace, directory, rate }: Place,
  { collectable = false }: BareOptions = {},
): Promise<Ready> {
  const queues = { workflowQueue: WORKFLOW_QUEUE, callQueue: CALL_QUEUE };
  const settings = { address, namespace, codePath: BARE_BUNDLE, ...queues, rate };
  const args = [...(collectable ? COLLECTABLE : []), BARE_WORKER, JSON.stringify(settings)];
  started++;
  const logFile = join(directory, `bare-${started}.log`);
  return startReady({ command: process.execPath, args, logFile }, /worker is running/);
}
