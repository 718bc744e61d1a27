import { MongoClient } from 'mongodb';
import { workflowIdOf } from '../policy/workflow_id.ts';
import type { Bench, BenchOptions, Figure, Findings } from './bench.ts';
import { callAll } from './callers.ts';
import { percentile } from './figures.ts';
import { settledMemory } from './memory.ts';
import { numbersOf, openAll, policyOf, putAll } from './policies.ts';
import { told } from './proc.ts';
import { type Stage, setStage } from './stage.ts';

const SIZES = { quick: [100, 200], usual: [500, 2_000], full: [1_000, 10_000, 50_000] };
/** Opened one after another, to see how long the next one takes. */
const NEXT = 40;
const WARM = 50;
/** Asked for by a person each, so many at once. */
const [VERIFIED, VERIFIERS] = [100, 16];
const SAMPLES = 20;
/** Where the engine keeps its documents unless the URI names another database. */
const DATABASE = 'policy_sync';

export const fleet: Bench = {
  name: 'fleet',
  about: 'what a policy costs while few are open, and while many are',
  async run(options) {
    const { say, memory } = options;
    const stage = await setStage({ say, collectable: told, ...(memory && { memory }) });
    const mongo = new MongoClient(stage.mongoUri);
    try {
      return await Promise.race([measure(options, stage, mongo), stage.broken]);
    } finally {
      await mongo.close();
      await stage.end();
    }
  },
};

interface Seen {
  policies: number;
  /** Of the worker, in MB. */
  memory: number;
  next_ms: number;
  verified_a_second: number;
  temporal_bytes: number;
  mongodb_bytes: number;
}

async function measure(options: BenchOptions, stage: Stage, mongo: MongoClient): Promise<Findings> {
  const sizes = [...(options.policies ?? SIZES[options.size])].sort((a, b) => a - b);
  // What is loaded, compiled and connected with the first policies is no policy's.
  await openAll(stage, numbersOf(WARM));
  let open = 0;
  const seen: Seen[] = [];
  for (const size of sizes) {
    const more = numbersOf(size - open);
    const before = await bytesIn(mongo);
    await openAll(stage, more);
    open = size;
    const mongodb_bytes = ((await bytesIn(mongo)) - before) / more.length;
    seen.push({ policies: open, mongodb_bytes, ...(await look(stage, more)) });
    options.say(`${size} policies are open`);
  }
  return { figures: figures(seen), more: table(seen) };
}

async function bytesIn(mongo: MongoClient): Promise<number> {
  const { dataSize, indexSize } = await mongo.db(DATABASE).stats();
  return dataSize + indexSize;
}

/** Looks at what has been opened last: no message has come to it, and no verification. */
async function look(stage: Stage, numbers: readonly string[]): Promise<Omit<Seen, 'policies' | 'mongodb_bytes'>> {
  const { mchid, client } = stage;
  const some = (count: number): string[] =>
    Array.from({ length: count }, (_, n) => numbers[Math.floor((n * numbers.length) / count)] ?? '');
  const histories = await Promise.all(
    some(SAMPLES).map((number) => client.temporal.workflow.getHandle(workflowIdOf(mchid, number)).describe()),
  );
  const memory = told ? await settledMemory(stage.parts().worker) : Number.NaN;
  const next = numbersOf(NEXT).map((number) => policyOf(number));
  await putAll(stage, next);
  const { each_ms } = await callAll(next, 1, (policy) => client.openPolicy({ mchid, policy }));
  const { all_ms } = await callAll(some(VERIFIED), VERIFIERS, (number) =>
    client.verify({ mchid, out_insurance_no: number }),
  );
  return {
    memory,
    next_ms: percentile(each_ms, 0.5),
    verified_a_second: (1000 * VERIFIED) / all_ms,
    temporal_bytes: histories.reduce((sum, { historySize = 0 }) => sum + historySize, 0) / SAMPLES,
  };
}

/** The last size beside the first. */
function figures(seen: readonly Seen[]): Figure[] {
  const [few, many] = [seen[0], seen.at(-1)];
  if (!few || !many) return [];
  const figure = (name: string, what: string, of: (seen: Seen) => number, unit: string, digits = 0): Figure => ({
    name,
    what: `${what} with ${many.policies} policies open, to ${few.policies}`,
    ...{ value: of(many) / of(few), unit: '×', limit: { most: 1.2 } },
    from: `${of(many).toFixed(digits)} against ${of(few).toFixed(digits)}${unit}`,
  });
  const { limit: _, ...growing } = figure('memory', 'memory of the worker', ({ memory }) => memory, ' MB');
  const cost = [
    figure('open', 'time to open the next', ({ next_ms }) => next_ms, ' ms'),
    figure('verify', 'time of a verification', ({ verified_a_second }) => 1000 / verified_a_second, ' ms', 1),
    figure('temporal', 'bytes a policy in Temporal', ({ temporal_bytes }) => temporal_bytes, ''),
    figure('mongodb', 'bytes a policy in MongoDB', ({ mongodb_bytes }) => mongodb_bytes, ''),
  ];
  // Up to as many as its cache has room for, a worker grows; beyond, it must not.
  const flat = few.policies >= CACHED ? [{ ...growing, limit: { most: 1.2 } }] : [growing];
  return told ? [...flat, ...cost] : cost;
}

/** From here on a worker with the default settings has no room for more. */
const CACHED = 5_000;

function table(seen: readonly Seen[]): string[][] {
  const row = (what: string, of: (seen: Seen) => number, digits = 0): string[] => [
    what,
    ...seen.map((one) => of(one).toFixed(digits)),
  ];
  return [
    ['policies open', ...seen.map(({ policies }) => String(policies))],
    row('memory of the worker, MB', ({ memory }) => memory),
    row('p50 of opening the next, ms', ({ next_ms }) => next_ms),
    row('verifications a second', ({ verified_a_second }) => verified_a_second, 1),
    row('bytes a policy in Temporal', ({ temporal_bytes }) => temporal_bytes),
    row('bytes a policy in MongoDB', ({ mongodb_bytes }) => mongodb_bytes),
  ];
}
