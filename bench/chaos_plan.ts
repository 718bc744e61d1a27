// What goes wrong in a run, and when: by its seed.
import fc from 'fast-check';
import type { FaultRule } from '../sandbox/faults.ts';

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
} as const satisfies Record<string, FaultRule['do']>;
export type FaultKind = keyof typeof ACTIONS;
const KINDS = Object.keys(ACTIONS) as FaultKind[];

/** More than a run has requests: what is gone of it at the end was injected. */
const TIMES = 1_000_000_000;

export interface Fault {
  kind: FaultKind;
  method: 'GET' | 'PATCH' | 'POST' | undefined;
  probability: number;
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

/** Faults for each of so many spans of a run. */
export function weatherOf(seed: number, spans: number): Fault[][] {
  return fc.sample(weather, { seed: seed * 100_003 - 1, numRuns: spans });
}

/** What `PUT /_sandbox/faults` takes. */
export function rulesOf(faults: readonly Fault[]): FaultRule[] {
  return faults.map(({ kind, method, probability }) => ({
    match: method ? { method } : {},
    times: TIMES,
    probability,
    do: ACTIONS[kind],
  }));
}

/** How often each happened, by what `GET /_sandbox/faults` shows of them. */
export function injected(faults: readonly Fault[], rules: readonly FaultRule[]): [FaultKind, number][] {
  return faults.map(({ kind }, at) => [kind, TIMES - (rules[at]?.times ?? TIMES)]);
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
