// How a merchant's rate follows what WeChat Pay takes: it publishes no limit, and answers 429 beyond the one it has.

/** Requests a second. Slower than that nothing is learned any more. */
export const LEAST_RATE = 0.2;
/** What a 429 takes away at least, and at most: how many of the calls it met tells more than that it came, where they are many. */
const [LEAST_CUT, MOST_CUT] = [0.1, 0.5];
const MANY = 10;
/** What the first quiet minute adds; each further one adds twice as much as the one before. */
const FIRST_RAISE = 0.05;
const LONGEST_QUIET = 6;

/** Of the calls since the rate last changed, those left out that were handed out before. */
export interface Seen {
  calls: number;
  throttled: number;
}

/** The rate after a 429. */
export function lowered(rate: number, { calls, throttled }: Seen): number {
  const share = calls < MANY ? 0 : throttled / calls;
  const cut = Math.min(MOST_CUT, Math.max(LEAST_CUT, share));
  return rounded(Math.max(LEAST_RATE, rate * (1 - cut)));
}

/** The rate after so many quiet minutes in a row, `setting` at most; `quiet` counts from 1. */
export function raised(rate: number, setting: number, quiet: number): number {
  const step = FIRST_RAISE * 2 ** (Math.min(quiet, LONGEST_QUIET) - 1);
  return Math.min(setting, rounded(rate * (1 + step)));
}

function rounded(rate: number): number {
  return Math.round(rate * 1000) / 1000;
}
