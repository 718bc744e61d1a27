import { openBare } from './bare/lives.ts';
import { type Bare, onStage } from './bare/start.ts';
import { type Bench, type BenchOptions, type Findings, sizeOf } from './bench.ts';
import { bareIds, callAll } from './callers.ts';
import { settledMemory } from './memory.ts';
import { numbersOf, openAll } from './policies.ts';
import { told } from './proc.ts';
import type { Stage } from './stage.ts';

const CALLERS = 32;
/** What a worker loads with its first policies is no policy's. */
const WARM = 50;
export const policyMemory: Bench = {
  name: 'policy-memory',
  about: 'memory that a worker keeps for each policy at hand, against a bare workflow',
  run: async (options) =>
    told ? onStage(options, { collectable: true }, (stage, bare) => measure(options, stage, bare)) : { figures: [] },
};

async function measure(options: BenchOptions, stage: Stage, bare: Bare): Promise<Findings> {
  const count = sizeOf(options, { quick: 200, usual: 1_000, full: 2_000 });
  const openOurs = (some: number): Promise<unknown> => openAll(stage, numbersOf(some));
  const openBares = (some: number): Promise<unknown> =>
    callAll(bareIds(some), CALLERS, (id) => openBare(bare.client, id));
  const ours = await grown(options, 'policies', stage.parts().worker, count, openOurs);
  const bares = await grown(options, 'bare workflows', [bare.worker.pid], count, openBares);
  const each = ours.each.toFixed(2);
  return {
    figures: [
      {
        name: 'memory',
        what: `memory a policy, of ${count}, to a bare workflow's`,
        ...{ value: ours.each / bares.each, unit: '×', limit: { most: 1.5 } },
        from: `${each} MB against ${bares.each.toFixed(2)} MB`,
      },
      {
        name: 'memory-mb',
        what: 'memory a policy',
        ...{ value: ours.each, unit: ' MB', limit: { most: 0.5 } },
        from: `the worker held ${ours.before.toFixed(0)} MB before, ${ours.after.toFixed(0)} MB after`,
      },
    ],
  };
}

async function grown(
  { say }: BenchOptions,
  what: string,
  pids: readonly number[],
  count: number,
  open: (some: number) => Promise<unknown>,
): Promise<{ before: number; after: number; each: number }> {
  await open(WARM);
  const before = await settledMemory(pids);
  await open(count);
  const after = await settledMemory(pids);
  say(`${count} ${what}: ${before.toFixed(0)} MB before, ${after.toFixed(0)} MB after`);
  return { before, after, each: (after - before) / count };
}
