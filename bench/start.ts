import { setTimeout as delay } from 'node:timers/promises';
import { startBareWorker } from './bare/start.ts';
import type { Bench, BenchOptions, Findings } from './bench.ts';
import { percentile } from './figures.ts';
import { memoryOf, told } from './proc.ts';
import type { Ready } from './processes.ts';
import { type Stage, setStage } from './stage.ts';

/** Memory of a worker that has started, and done nothing since. */
const REST_MS = 3_000;

export const start: Bench = {
  name: 'start',
  about: 'from the start of a worker process until it polls, against a bare worker, both with a bundle made before',
  async run(options) {
    const stage = await setStage({ workers: 0, say: options.say });
    try {
      return await measure(options, stage);
    } finally {
      await stage.end();
    }
  },
};

interface Started {
  ready_ms: number[];
  memory: number[];
}

async function measure(options: BenchOptions, stage: Stage): Promise<Findings> {
  const starts = options.size === 'quick' ? 3 : 7;
  const ours: Started = { ready_ms: [], memory: [] };
  const bare: Started = { ready_ms: [], memory: [] };
  // The first makes indexes and search attributes, and has the programs read from the disk.
  await stopped(await stage.startWorker());
  await stopped(await startBareWorker(stage));
  for (let n = 1; n <= starts; n++) {
    await note(ours, await stage.startWorker());
    await note(bare, await startBareWorker(stage));
  }
  options.say(`${starts} workers of each have started and ended`);
  return { figures: figures(ours, bare) };
}

const stopped = (worker: Ready): Promise<unknown> => worker.stop();

async function note({ ready_ms, memory }: Started, worker: Ready): Promise<void> {
  ready_ms.push(worker.ready_ms);
  await delay(REST_MS);
  memory.push(memoryOf([worker.pid]));
  await worker.stop();
}

function figures(ours: Started, bare: Started): Findings['figures'] {
  const [start, bareStart] = [percentile(ours.ready_ms, 0.5), percentile(bare.ready_ms, 0.5)];
  const [memory, bareMemory] = [percentile(ours.memory, 0.5), percentile(bare.memory, 0.5)];
  const took: Findings['figures'][number] = {
    name: 'start',
    what: 'time until the worker polls, to a bare worker',
    ...{ value: start / bareStart, unit: '×', limit: { most: 1.2 } },
    from: `${(start / 1000).toFixed(2)} s against ${(bareStart / 1000).toFixed(2)} s`,
  };
  if (!told) return [took];
  const holds: Findings['figures'][number] = {
    name: 'idle-memory',
    what: 'memory of a worker without policies',
    ...{ value: memory, unit: ' MB', limit: { most: 200 } },
    from: `a bare worker holds ${bareMemory.toFixed(0)} MB`,
  };
  return [took, holds];
}
