import { setTimeout as delay } from 'node:timers/promises';
import { ApplicationFailure, type PayloadCodec } from '@temporalio/common';
import { Worker } from '@temporalio/worker';
import { dataConverter } from '../../codec/data_converter.ts';
import { parseKeys } from '../../codec/keys.ts';
import type { World } from '../../test/world.ts';
import { BARE_BUNDLE } from '../built.ts';
import { WORKFLOW_QUEUE } from './messages.ts';

const PATIENCE_MS = 30_000;
const QUIET_MS = 500;

export interface YearWorker {
  codecs: PayloadCodec[];
  /** Attempts of activities so far. */
  attempts(): number;
  /** Resolves when nothing has been done for a while. */
  rests(): Promise<void>;
  stop(): Promise<void>;
}

/** The worker of `year` on the time-skipping server; what WeChat Pay would answer is always this. */
export async function startYearWorker(world: World, keys: string, answer: unknown): Promise<YearWorker> {
  const codecs = dataConverter(parseKeys(keys), { allowPlain: false }).payloadCodecs ?? [];
  let [attempts, last] = [0, Date.now()];
  const attempted = (): void => {
    attempts++;
    last = Date.now();
  };
  const again = { message: 'nothing found', nextRetryDelay: '7d', nonRetryable: false } as const;
  const worker = await Worker.create({
    connection: world.env?.nativeConnection,
    taskQueue: WORKFLOW_QUEUE,
    workflowBundle: { codePath: BARE_BUNDLE },
    dataConverter: { payloadCodecs: codecs },
    activities: {
      claim: async () => {},
      call: async () => {
        attempted();
        return answer;
      },
      verify: async () => {
        attempted();
        throw ApplicationFailure.create(again);
      },
    },
  });
  const running = worker.run();
  return {
    codecs,
    attempts: () => attempts,
    rests: async () => {
      for (const deadline = Date.now() + PATIENCE_MS; Date.now() - last < QUIET_MS; await delay(QUIET_MS / 5))
        if (Date.now() > deadline) throw new Error('a bare year does not rest');
    },
    stop: async () => {
      worker.shutdown();
      await running;
    },
  };
}
