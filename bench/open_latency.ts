import { openBare } from './bare/lives.ts';
import { type Bare, onStage } from './bare/start.ts';
import { type Bench, type BenchOptions, type Figure, type Findings, sizeOf } from './bench.ts';
import { bareIds, callAll } from './callers.ts';
import { percentile } from './figures.ts';
import { numbersOf, policyOf, putAll } from './policies.ts';
import type { Stage } from './stage.ts';

const CALLERS = [1, 32] as const;
/** One caller waits for the other's turn: fewer are enough. */
const ALONE = 0.25;
/** In turn, so that what else the machine does falls on both alike. */
const ROUNDS = 4;
const WARM = 40;

type Kind = 'ours' | 'bare';

export const openLatency: Bench = {
  name: 'open-latency',
  about: 'how long the answer of `open` takes, against an update-with-start of one activity',
  run: (options) => onStage(options, {}, (stage, bare) => measure(options, stage, bare)),
};

async function measure(options: BenchOptions, stage: Stage, bare: Bare): Promise<Findings> {
  const count = sizeOf(options, { quick: 120, usual: 400, full: 1_200 });
  const open: Record<Kind, (count: number, callers: number) => Promise<number[]>> = {
    ours: (some, callers) => openOurs(stage, some, callers),
    bare: async (some, callers) =>
      (await callAll(bareIds(some), callers, (id) => openBare(bare.client, id, { type: 'opened' }))).each_ms,
  };
  for (const kind of ['ours', 'bare'] as const) await open[kind](WARM, WARM);
  const figures: Figure[] = [];
  for (const callers of CALLERS) {
    const took: Record<Kind, number[]> = { ours: [], bare: [] };
    const each = Math.ceil((callers === 1 ? count * ALONE : count) / ROUNDS);
    for (let round = 1; round <= ROUNDS; round++)
      for (const kind of ['ours', 'bare'] as const) took[kind].push(...(await open[kind](each, callers)));
    options.say(`${callers} at once: ${took.ours.length} opened of each`);
    figures.push(...figuresOf(callers, took));
  }
  return { figures };
}

async function openOurs({ mchid, client, ...stage }: Stage, count: number, callers: number): Promise<number[]> {
  const policies = numbersOf(count).map((number) => policyOf(number));
  await putAll(stage, policies);
  const { each_ms } = await callAll(policies, callers, (policy) => client.openPolicy({ mchid, policy }));
  return each_ms;
}

function figuresOf(callers: number, { ours, bare }: Record<Kind, number[]>): Figure[] {
  return [0.5, 0.99].map((share) => {
    const [of, against] = [percentile(ours, share), percentile(bare, share)];
    const name = `p${share * 100}-${callers}`;
    return {
      name,
      what: `p${share * 100} of \`open\` at ${callers} at once, to the bare one's`,
      ...{ value: of / against, unit: '×', limit: { most: 1.5 } },
      from: `${of.toFixed(0)} ms against ${against.toFixed(0)} ms`,
    };
  });
}
