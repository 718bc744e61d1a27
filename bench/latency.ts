import { setTimeout as delay } from 'node:timers/promises';
import { INACTIVE } from '../policy/state.ts';
import { openBare, signalBare } from './bare/lives.ts';
import { type Bare, onStage } from './bare/start.ts';
import { type Bench, type BenchOptions, type Figure, type Findings, sizeOf } from './bench.ts';
import { bareIds, callAll } from './callers.ts';
import { mostWithin, percentile } from './figures.ts';
import { numbersOf, openAll } from './policies.ts';
import { queueOf } from './queue.ts';
import type { Stage } from './stage.ts';
import { fillQueue } from './waiting.ts';

const WORKERS = 2;
/** Calls a second that the merchant may make. */
const RATE = 50;
const CANCELLATIONS = 100;
/** They come evenly over so long, so that none waits for another. */
const SPREAD_MS = 40_000;
const LATEST_MS = 60_000;
const REST_MS = 3_000;

export const latency: Bench = {
  name: 'latency',
  about: 'from a cancellation to the arrival of its PATCH, idle, and behind verifications that wait',
  run: (options) => onStage(options, { workers: WORKERS, rate: RATE }, (stage, bare) => measure(options, stage, bare)),
};

/** How long each took, in ms. */
interface Took {
  bare: number[];
  idle: number[];
  behind: number[];
}

async function measure(options: BenchOptions, stage: Stage, bare: Bare): Promise<Findings> {
  const { say } = options;
  const waiting = sizeOf(options, { quick: 300, usual: 2_000, full: 10_000 });
  const quiet = numbersOf(CANCELLATIONS);
  await openAll(stage, quiet);
  await delay(REST_MS);
  const took: Took = { bare: await signalSome(bare), idle: await cancelSome(stage, quiet), behind: [] };
  say(`${CANCELLATIONS} cancellations of each kind have arrived while nothing else waits`);

  // Beside those that wait, some are under way, and some wait for the second until they come due.
  const numbers = numbersOf(waiting + 3 * RATE);
  await fillQueue(stage, numbers, say);
  const before = await queueOf(stage);
  const from = Date.now();
  say(`${before.waiting} verifications wait: ${CANCELLATIONS} cancellations follow`);
  const chosen = Array.from(
    { length: CANCELLATIONS },
    (_, n) => numbers[Math.floor((n * numbers.length) / CANCELLATIONS)],
  );
  took.behind = await cancelSome(
    stage,
    chosen.filter((number) => number !== undefined),
  );
  const after = await queueOf(stage);
  if (Math.min(before.waiting, after.waiting) < waiting)
    throw new Error(
      `expected ${waiting} verifications to wait throughout, found ${before.waiting}, then ${after.waiting}`,
    );
  const arrivals = (await stage.requests()).map(({ at }) => Date.parse(at)).filter((at) => at >= from);
  return { figures: [...latencies(took, waiting), ...rates(arrivals)], more: table(took, before.oldest_ms) };
}

/** Cancels policies, every other one by an update. */
async function cancelSome({ client, mchid, ...stage }: Stage, numbers: readonly string[]): Promise<number[]> {
  const sent: { number: string; at: number }[] = [];
  const answers: Promise<unknown>[] = [];
  const from = Date.now();
  for (const [n, number] of numbers.entries()) {
    await delay(from + (n * SPREAD_MS) / numbers.length - Date.now());
    const policy = { mchid, out_insurance_no: number };
    sent.push({ number, at: Date.now() });
    answers.push(n % 2 === 0 ? client.cancelBySignal(policy) : client.cancel(policy));
  }
  await Promise.all(answers);
  for (const deadline = Date.now() + LATEST_MS; ; await delay(1_000)) {
    const patches = (await stage.requests()).filter(
      ({ method, body }) => method === 'PATCH' && body.includes(INACTIVE),
    );
    const arrived = new Map(patches.map(({ path, at }) => [path.split('/').at(-1), Date.parse(at)]));
    const took = sent.map(({ number, at }) => (arrived.get(number) ?? Number.POSITIVE_INFINITY) - at);
    if (took.every(Number.isFinite) || Date.now() > deadline) return took;
  }
}

/** Has bare workflows start an activity by a signal. */
async function signalSome({ client }: Bare): Promise<number[]> {
  const ids = bareIds(CANCELLATIONS);
  await callAll(ids, 16, (id) => openBare(client, id));
  await delay(REST_MS);
  const took: number[] = [];
  for (const id of ids) took.push(await signalBare(client, id));
  return took;
}

function latencies({ bare, idle, behind }: Took, waiting: number): Figure[] {
  const ms = (values: number[], share: number): number => percentile(values, share);
  const against = (mine: number[], theirs: number[], share: number) => ({
    value: ms(mine, share) / ms(theirs, share),
    unit: '×',
    from: `${ms(mine, share).toFixed(0)} ms against ${ms(theirs, share).toFixed(0)} ms`,
  });
  return [
    { name: 'idle-p50', what: 'idle p50, to a bare signal that starts an activity', ...against(idle, bare, 0.5) },
    { name: 'idle-p99', what: 'idle p99, to a bare signal that starts an activity', ...against(idle, bare, 0.99) },
    { name: 'behind-p50', what: `p50 behind ${waiting} verifications, to idle`, ...against(behind, idle, 0.5) },
    {
      name: 'behind-p99',
      what: `p99 behind ${waiting} verifications, to idle`,
      ...against(behind, idle, 0.99),
      limit: { most: 1.5 },
    },
    {
      name: 'behind-p95-s',
      what: `p95 behind ${waiting} verifications`,
      ...{ value: ms(behind, 0.95) / 1000, unit: ' s', limit: { most: 1 } },
      from: `${behind.length} cancellations, half of them signals`,
    },
  ];
}

/** The merchant's rate is kept meanwhile. */
function rates(arrivals: readonly number[]): Figure[] {
  const [ten, one] = [mostWithin(arrivals, 10_000) / 10, mostWithin(arrivals, 1_000)];
  return [
    {
      name: 'rate-10s',
      what: "worst 10 s, to the merchant's rate",
      ...{ value: ten / RATE, unit: '×', limit: { most: 1.1 } },
      from: `${ten.toFixed(1)} calls a second of ${RATE}`,
    },
    {
      name: 'rate-1s',
      what: "worst second, to the merchant's rate",
      ...{ value: one / RATE, unit: '×', limit: { most: 2.2 } },
      from: `${one} calls of ${RATE}`,
    },
  ];
}

function table({ bare, idle, behind }: Took, oldest_ms: number): string[][] {
  const row = (what: string, values: number[]): string[] => [
    what,
    ...[0.5, 0.95, 0.99].map((share) => `${percentile(values, share).toFixed(0)} ms`),
  ];
  return [
    ['cancellation to PATCH', 'p50', 'p95', 'p99'],
    row('a bare signal to its activity', bare),
    row('idle', idle),
    row('behind verifications', behind),
    ["a verification's turn", `${oldest_ms.toFixed(0)} ms`, '', ''],
  ];
}
