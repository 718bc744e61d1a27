import { setTimeout as delay } from 'node:timers/promises';
import { APPROVED } from '../policy/state.ts';
import { workflowIdOf } from '../policy/workflow_id.ts';
import { approveBare, openBare, runThree } from './bare/lives.ts';
import { type Bare, onStage } from './bare/start.ts';
import { type Bench, type BenchOptions, type Findings, sizeOf } from './bench.ts';
import { bareIds, callAll } from './callers.ts';
import { Confirmations, numbersOf, policyOf, putAll } from './policies.ts';
import { cpuOf, told } from './proc.ts';
import type { Stage } from './stage.ts';

const CALLERS = 32;
/** In turn, so that what else the machine does falls on all alike. */
const ROUNDS = 3;
const WARM = 32;
/** Until what a life leaves to be done, as records, is done. */
const SETTLE_MS = 1_500;

const KINDS = { ours: 'lives', three: 'three activities', messages: 'the same messages' } as const;
type Kind = keyof typeof KINDS;
const PARTS = ['worker', 'temporal', 'mongodb', 'sandbox', 'client'] as const;
type Cpu = Record<(typeof PARTS)[number], number>;

/** Makes lives ready; what it returns lives them, and says how long that took in ms, and the workflow of one. */
type Prepare = (count: number) => Promise<() => Promise<{ ms: number; workflowId: string }>>;

interface Lived {
  lives: number;
  ms: number;
  cpu: Cpu;
  workflowId: string;
}

export const life: Bench = {
  name: 'life',
  about: 'policies opened and approved until WeChat Pay confirms it, a second, against workflows that do nothing',
  run: (options) => onStage(options, {}, (stage, bare) => measure(options, stage, bare)),
};

async function measure(options: BenchOptions, stage: Stage, bare: Bare): Promise<Findings> {
  const lives = sizeOf(options, { quick: 90, usual: 300, full: 900 });
  const confirmations = new Confirmations(stage);
  const prepare: Record<Kind, Prepare> = {
    ours: (count) => ours(stage, confirmations, count),
    three: async (count) => () => bareLives(count, (id) => runThree(bare.client, id)),
    messages: async (count) => () =>
      bareLives(count, (id) => openBare(bare.client, id).then(() => approveBare(bare.client, id))),
  };
  const kinds = Object.keys(KINDS) as Kind[];
  const lived = {} as Record<Kind, Lived>;
  for (const kind of kinds) {
    const live = await prepare[kind](WARM);
    lived[kind] = { lives: 0, ms: 0, cpu: zero(), workflowId: (await live()).workflowId };
  }
  for (let round = 1; round <= ROUNDS; round++)
    for (const kind of kinds) {
      const worker = kind === 'ours' ? stage.parts().worker : [bare.worker.pid];
      await count(lived[kind], { ...stage.parts(), worker }, Math.ceil(lives / ROUNDS), prepare[kind]);
      options.say(`round ${round} of ${ROUNDS}: ${KINDS[kind]}, ${perSecond(lived[kind]).toFixed(1)} a second so far`);
    }
  await confirmations.end();
  return { figures: figures(lived), more: await table(lived, stage, bare) };
}

/** Adds a round to what was measured. */
async function count(lived: Lived, parts: ReturnType<Stage['parts']>, lives: number, prepare: Prepare): Promise<void> {
  const live = await prepare(lives);
  await delay(SETTLE_MS);
  const before = cpuByPart(parts);
  lived.ms += (await live()).ms;
  lived.lives += lives;
  await delay(SETTLE_MS);
  const after = cpuByPart(parts);
  for (const part of PARTS) lived.cpu[part] += after[part] - before[part];
}

function cpuByPart({ worker, temporal, mongodb, sandbox }: ReturnType<Stage['parts']>): Cpu {
  const { user, system } = process.cpuUsage();
  return {
    worker: cpuOf(worker),
    temporal: cpuOf(temporal),
    mongodb: cpuOf(mongodb),
    sandbox: cpuOf(sandbox),
    client: (user + system) / 1000,
  };
}

const zero = (): Cpu => ({ worker: 0, temporal: 0, mongodb: 0, sandbox: 0, client: 0 });

async function ours(stage: Stage, confirmations: Confirmations, count: number): ReturnType<Prepare> {
  const { mchid, client } = stage;
  const policies = numbersOf(count).map((number) => policyOf(number));
  await putAll(stage, policies);
  return async () => {
    const { all_ms } = await callAll(policies, CALLERS, async (policy) => {
      const { out_insurance_no } = policy;
      const confirmed = confirmations.of('PATCH', out_insurance_no);
      await client.openPolicy({ mchid, policy });
      await client.approve({ mchid, out_insurance_no }, { policy_code: `C${out_insurance_no}` });
      const { body } = await confirmed;
      if (!body.includes(APPROVED)) throw new Error(`${out_insurance_no}: expected its approval, found another PATCH`);
    });
    return { ms: all_ms, workflowId: workflowIdOf(mchid, policies[0]?.out_insurance_no ?? '') };
  };
}

async function bareLives(
  count: number,
  live: (id: string) => Promise<unknown>,
): ReturnType<Awaited<ReturnType<Prepare>>> {
  const ids = bareIds(count);
  const { all_ms } = await callAll(ids, CALLERS, live);
  return { ms: all_ms, workflowId: ids[0] ?? '' };
}

function perSecond({ lives, ms }: Lived): number {
  return (1000 * lives) / ms;
}

function figures({ ours, three, messages }: Record<Kind, Lived>): Findings['figures'] {
  const against = (peer: Lived) => ({
    value: perSecond(ours) / perSecond(peer),
    unit: '×',
    from: `${perSecond(ours).toFixed(1)} against ${perSecond(peer).toFixed(1)} a second`,
  });
  return [
    {
      name: 'lives',
      what: 'lives a second, to workflows of the same messages',
      ...against(messages),
      limit: { least: 0.6 },
    },
    { name: 'lives-three', what: 'the same, to workflows of three activities and no message', ...against(three) },
  ];
}

/** What a life costs, by process. */
async function table(lived: Record<Kind, Lived>, stage: Stage, bare: Bare): Promise<string[][]> {
  const heads = ['CPU in ms, a life', ...(told ? [...PARTS, 'all'] : []), 'events', 'bytes of history'];
  const row = async (kind: Kind): Promise<string[]> => {
    const { cpu, lives, workflowId } = lived[kind];
    const each = PARTS.map((part) => cpu[part] / lives);
    const all = each.reduce((sum, one) => sum + one, 0);
    const client = kind === 'ours' ? stage.client.temporal : bare.client;
    const { historyLength, historySize } = await client.workflow.getHandle(workflowId).describe();
    const told_ms = told ? [...each, all].map((one) => one.toFixed(1)) : [];
    return [KINDS[kind], ...told_ms, String(historyLength), String(historySize)];
  };
  return [heads, ...(await Promise.all((Object.keys(KINDS) as Kind[]).map(row)))];
}
