import { setTimeout as delay } from 'node:timers/promises';
import { nextVerification } from '../activities/backoff.ts';
import { ms } from '../policy/duration.ts';
import { APPROVED } from '../policy/state.ts';
import { type Bench, type BenchOptions, type Figure, type Findings, sizeOf } from './bench.ts';
import { callAll } from './callers.ts';
import { peakOverMean } from './figures.ts';
import { numbersOf, policyOf, putAll } from './policies.ts';
import { type Stage, setStage } from './stage.ts';

/** Computed for so many, confirmed in the same second. */
const FLEET = 100_000;
const WEEK = ms('7d');
const WEEKS = 8;
/** Made for real, verified as often as this. */
const EVERY = '30s';
const CALLERS = 32;
/** Until the second round of verifications has passed, on a slow machine too. */
const LATEST_MS = 240_000;
const LOOK_MS = 2_000;

export const verifyStorm: Bench = {
  name: 'verify-storm',
  about: 'how evenly the verifications of a fleet come that falls due in one window',
  async run(options) {
    const figures = computed();
    options.say(`the verifications of ${FLEET} policies are computed`);
    const stage = await setStage({ served: false, say: options.say });
    try {
      figures.push(await Promise.race([made(options, stage), stage.broken]));
      return { figures } satisfies Findings;
    } finally {
      await stage.end();
    }
  },
};

/** By the times alone at which the engine would ask. */
function computed(): Figure[] {
  const next: number[] = [];
  const all: number[] = [];
  for (const number of numbersOf(FLEET)) {
    let age = 0;
    for (let attempt = 1; age < WEEKS * WEEK; attempt++) {
      const wait = nextVerification(number, attempt, age, WEEK, 'confirmed');
      age += wait;
      if (age >= WEEK && age < WEEKS * WEEK) all.push(age);
    }
    next.push(nextVerification(number, WEEKS, WEEKS * WEEK, WEEK, 'confirmed'));
  }
  const { limit: _, ...unbound } = figureOf(
    'computed-all',
    `${FLEET} policies confirmed in the same second, from the first week to the ${WEEKS}th`,
    all,
    (WEEKS - 1) * 7 * 24,
  );
  return [figureOf('computed', `${FLEET} policies verified in the same second, the next time`, next, 100), unbound];
}

/** Policies that are confirmed as fast as the machine can, and the first verification of each. */
async function made(options: BenchOptions, stage: Stage): Promise<Figure> {
  const { mchid, client } = stage;
  const count = sizeOf(options, { quick: 100, usual: 300, full: 3_000 });
  const policies = numbersOf(count).map((number) =>
    policyOf(number, { policy_state: APPROVED, policy_code: `C${number}` }),
  );
  await putAll(stage, policies);
  await callAll(policies, CALLERS, (policy) => client.openPolicy({ mchid, policy, verification: { every: EVERY } }));
  await stage.serve(true);
  for (const deadline = Date.now() + LATEST_MS; ; await delay(LOOK_MS)) {
    const seen = new Map<string, number[]>();
    for (const { path, at } of await stage.requests()) seen.set(path, [...(seen.get(path) ?? []), Date.parse(at)]);
    const verified = [...seen.values()].flatMap(([, second]) => (second === undefined ? [] : [second]));
    if (verified.length === count)
      return figureOf('made', `${count} policies confirmed at once, for real`, verified, partsOf(count));
    if (Date.now() > deadline) throw new Error(`only ${verified.length} of ${count} policies were verified`);
  }
}

/** So few that each has thirty of them in the mean: of fewer, chance alone would make a peak. */
function partsOf(count: number): number {
  return Math.min(10, Math.max(3, Math.floor(count / 30)));
}

function figureOf(name: string, what: string, instants: readonly number[], buckets: number): Figure {
  const { peak, mean, span_ms } = peakOverMean(instants, buckets);
  const hours = span_ms / 3_600_000;
  const span = hours > 1 ? `${hours.toFixed(0)} h` : `${(span_ms / 1000).toFixed(0)} s`;
  return {
    name,
    what: `peak over mean: ${what}`,
    ...{ value: peak / mean, unit: '×', limit: { most: 1.5 } },
    from: `${mean.toFixed(2)} a second over ${span}, ${peak.toFixed(2)} in the worst ${buckets}th of that`,
  };
}
