import { setTimeout as delay } from 'node:timers/promises';
import { type Bench, type BenchOptions, type Findings, sizeOf } from './bench.ts';
import { numbersOf } from './policies.ts';
import { type Stage, setStage } from './stage.ts';
import { fillQueue } from './waiting.ts';

/** Of each call: so slow that a worker's calls at once are what there is too little of, not this machine. */
const DELAY_MS = 8_000;
/** Until as many calls are under way as may be. */
const SETTLE_MS = 2 * DELAY_MS;
const WINDOW_MS = 3 * DELAY_MS;

export const twoWorkers: Bench = {
  name: 'two-workers',
  about: 'verifications a second of two worker processes, against one, where WeChat Pay is slow',
  async run(options) {
    const stage = await setStage({ say: options.say });
    try {
      return await Promise.race([measure(options, stage), stage.broken]);
    } finally {
      await stage.end();
    }
  },
};

async function measure(options: BenchOptions, stage: Stage): Promise<Findings> {
  // More than two workers have under way at once, which is 200 each.
  const policies = sizeOf(options, { quick: 500, usual: 600, full: 1_500 });
  await fillQueue(stage, numbersOf(policies), options.say);
  await stage.faults({ match: {}, do: { delay_ms: DELAY_MS } });
  const one = await throughput(stage);
  options.say(`one worker: ${one.toFixed(1)} calls a second`);
  await stage.startWorker();
  const two = await throughput(stage);
  options.say(`two workers: ${two.toFixed(1)} calls a second`);
  return {
    figures: [
      {
        name: 'throughput',
        what: `calls a second of two workers, each call ${DELAY_MS / 1000} s long, to one`,
        ...{ value: two / one, unit: '×', limit: { least: 1.8 } },
        from: `${two.toFixed(1)} against ${one.toFixed(1)} a second`,
      },
    ],
  };
}

/** Calls that are answered a second. */
async function throughput(stage: Stage): Promise<number> {
  await delay(SETTLE_MS);
  const from = Date.now();
  await delay(WINDOW_MS);
  const until = Date.now();
  const ended = (await stage.requests()).map(({ ended_at }) => (ended_at === null ? 0 : Date.parse(ended_at)));
  return (1000 * ended.filter((at) => at >= from && at < until).length) / (until - from);
}
