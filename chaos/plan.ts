// What goes wrong in a run, and when: by its seed.
import fc from 'fast-check';
import type { FaultRule } from '../sandbox/faults.ts';

/** A late landing takes effect so long after its connection was cut: minutes in life. */
export const LANDING_MS = 12_000;

/** None of them may leave a policy blocked for good: a signed refusal is WeChat Pay's last word, and rightly so. */
const ACTIONS = {
  '500': { status: 500, code: 'SYSTEM_ERROR' },
  '500 after the effect': { status: 500, code: 'SYSTEM_ERROR', effect: true },
  '502 in HTML': { status: 502, body: '<html>Bad Gateway</html>', headers: { 'Content-Type': 'text/html' } },
  '429': { status: 429, code: 'FREQUENCY_LIMITED' },
  '429 with Retry-After': { status: 429, code: 'FREQUENCY_LIMITED', retry_after: 2 },
  'unsigned 400': { status: 400, code: 'PARAM_ERROR', unsigned: true },
  'unsigned 404': { status: 404, code: 'NOT_FOUND', unsigned: true },
  'cut before': { drop: 'before' },
  'cut after the effect': { drop: 'after' },
  'late and cut after the effect': { delay_ms: 2_000, drop: 'after' },
  late: { delay_ms: 1_500 },
  truncated: { truncate: true },
  'forged signature': { forge: 'signature' },
  'forged timestamp': { forge: 'timestamp' },
  'forged serial': { forge: 'serial' },
  'forged signtest': { forge: 'signtest' },
  'forged unsigned': { forge: 'unsigned' },
  'late landing': { drop: 'late', delay_ms: LANDING_MS },
  'names unreadable': { names: 'unreadable' },
} as const satisfies Record<string, FaultRule['do']>;
export type FaultKind = keyof typeof ACTIONS;
/** They have times of their own. */
const APART: readonly FaultKind[] = ['late landing', 'names unreadable'];
const KINDS = (Object.keys(ACTIONS) as FaultKind[]).filter((kind) => !APART.includes(kind));

/** More than a run has requests: what is gone of it at the end was injected. */
const TIMES = 1_000_000_000;

export interface Fault {
  kind: FaultKind;
  method: 'GET' | 'PATCH' | 'POST' | undefined;
  probability: number;
  /** How often in a span; as often as it comes where it lacks. */
  times?: number;
}

const fault: fc.Arbitrary<Fault> = fc.record({
  kind: fc.constantFrom(...KINDS),
  method: fc.constantFrom(
    undefined,
    undefined,
    undefined,
    undefined,
    'PATCH' as const,
    'PATCH' as const,
    'GET' as const,
    'POST' as const,
  ),
  probability: fc.integer({ min: 5, max: 40 }).map((percent) => percent / 100),
});
/** What is wrong at the same time. */
const weather: fc.Arbitrary<Fault[]> = fc.array(fault, { minLength: 1, maxLength: 6, size: 'max' });

/** In every span. */
const LATE: Fault = { kind: 'late landing', method: 'PATCH', probability: 1, times: 3 };
/** WeChat Pay seals for a key that the merchant has not got yet. */
const BLIND: Fault = { kind: 'names unreadable', method: undefined, probability: 0.6 };

/** Faults for each of so many spans of a run; while keys are rotated, nobody opens the names of an answer. */
export function weatherOf(seed: number, spans: number): Fault[][] {
  const rotated = rotationOf(spans);
  return fc
    .sample(weather, { seed: seed * 100_003 - 1, numRuns: spans })
    .map((faults, span) => [LATE, ...(span >= rotated.from && span < rotated.to ? [BLIND] : []), ...faults]);
}

/** In which spans of a run keys are being rotated. */
export function rotationOf(spans: number): { from: number; to: number } {
  const from = Math.floor(spans * 0.4);
  return { from, to: Math.ceil(spans * 0.65) };
}

/** What `PUT /_sandbox/faults` takes. */
export function rulesOf(faults: readonly Fault[]): FaultRule[] {
  return faults.map(({ kind, method, probability, times = TIMES }) => ({
    match: method ? { method } : {},
    times,
    probability,
    do: ACTIONS[kind],
  }));
}

/** How often each happened, by what `GET /_sandbox/faults` shows of them. */
export function injected(faults: readonly Fault[], rules: readonly FaultRule[]): [FaultKind, number][] {
  return faults.map(({ kind, times = TIMES }, at) => [kind, times - (rules[at]?.times ?? times)]);
}

export const VICTIMS = ['worker', 'Temporal', 'MongoDB'] as const;
export type Victim = (typeof VICTIMS)[number];
const A_MINUTE: Record<Victim, number> = { worker: 4, Temporal: 1.5, MongoDB: 2 };

export interface Kill {
  victim: Victim;
  /** When in the run: at least 0, below 1. */
  at: number;
  /** How long it stays down, in ms. */
  down: number;
  /** Which of several, from 0 on. */
  which: number;
}

/** Each is killed once at least; of a kind they come in order, spread over the run. */
export function killsOf(seed: number, minutes: number, workers: number): Kill[] {
  return VICTIMS.flatMap((victim, n) => {
    const count = Math.max(1, Math.round(minutes * A_MINUTE[victim]));
    const moments = fc.sample(
      fc.record({
        within: fc.integer({ min: 15, max: 85 }),
        down: fc.integer({ min: 200, max: 6_000 }),
        which: fc.integer({ min: 0, max: workers - 1 }),
      }),
      { seed: seed * 100_003 - 2 - n, numRuns: count },
    );
    return moments.map(({ within, ...kill }, turn) => ({ victim, at: (turn + within / 100) / count, ...kill }));
  });
}

export interface Reset {
  /** When in the run: at least 0, below 1. */
  at: number;
  /** Which policy, from 0 on. */
  which: number;
  /** How far back in its history: at least 0, below 1, of what can be gone back to. */
  back: number;
}

const RESETS_A_POLICY = 0.1;

/** Resets of workflows, in order: of a tenth of the policies, one at least. */
export function resetsOf(seed: number, policies: number): Reset[] {
  const within = fc.record({
    at: fc.integer({ min: 150, max: 950 }).map((share) => share / 1000),
    which: fc.integer({ min: 0, max: policies - 1 }),
    back: fc.integer({ min: 0, max: 99 }).map((share) => share / 100),
  });
  const numRuns = Math.max(1, Math.round(policies * RESETS_A_POLICY));
  return fc.sample(within, { seed: seed * 100_003 - 9, numRuns }).sort((a, b) => a.at - b.at);
}

/** More messages than one run of a workflow takes. */
export const FLOOD = 300;
const FLOODS_A_POLICY = 0.04;

/** Policies that are flooded with messages without effect, and when: one at least. */
export function floodsOf(seed: number, policies: number): Map<number, number> {
  const one = fc.record({
    which: fc.integer({ min: 0, max: policies - 1 }),
    at: fc.integer({ min: 200, max: 600 }).map((share) => share / 1000),
  });
  const numRuns = Math.max(1, Math.round(policies * FLOODS_A_POLICY));
  return new Map(fc.sample(one, { seed: seed * 100_003 - 10, numRuns }).map(({ which, at }) => [which, at]));
}
