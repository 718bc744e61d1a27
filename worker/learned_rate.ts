// How a merchant's rate follows what WeChat Pay takes: it publishes no limit, and answers 429 beyond the one it has.

/** Requests a second. No limit is thought to be lower. */
export const LEAST_RATE = 1;
/** What a 429 takes away at least, and at most: how many of the calls it met tells more than that it came. */
const [LEAST_CUT, MOST_CUT] = [0.05, 0.5];
/** So many calls tell how many of them are throttled, well enough to cut by. */
const MANY = 10;
/** At a slow rate they are not waited for: a 429 so long after the last cut, in ms, makes the next one. */
const LONG_MS = 2_000;
/** One in a hundred says nothing: a 429 may have other reasons than the rate. */
const TOLERATED = 0.01;
const [ENOUGH, MOST_SEEN] = [100, 200];
/** Of what was taken while calls were throttled: below that the rate cannot be why. */
const LEAST_OF_TAKEN = 0.7;
/** What the first quiet minute adds; each further one adds three times as much as the one before. */
const [FIRST_RAISE, MOST_RAISE] = [0.05, 3];

/** Of the last calls at the rate that holds. */
export interface Seen {
  calls: number;
  throttled: number;
}

/** With one more call; what is long past counts for less. */
export function withCall({ calls, throttled }: Seen, isThrottled: boolean): Seen {
  const weight = calls >= MOST_SEEN ? 0.5 : 1;
  return { calls: calls * weight + 1, throttled: throttled * weight + (isThrottled ? 1 : 0) };
}

/** Whether calls are throttled so seldom that the rate may stay. */
export function isTolerated({ calls, throttled }: Seen): boolean {
  return calls >= ENOUGH && throttled <= calls * TOLERATED;
}

/** Whether enough is seen for the next cut, `age` ms after the last: by the first 429 that comes, one would know little. */
export function isTold({ calls }: Seen, age: number): boolean {
  return calls >= MANY || age >= LONG_MS;
}

/**
 * The rate after a 429.
 * @param taken how many calls a second went through of late while others were throttled; 0 where that is not known
 */
export function lowered(rate: number, { calls, throttled }: Seen, taken: number): number {
  // What so few calls show by chance is left out.
  const share = calls < MANY ? 0 : throttled / calls - 1 / Math.sqrt(calls);
  const cut = Math.min(MOST_CUT, Math.max(LEAST_CUT, share));
  const least = Math.max(LEAST_RATE, taken * LEAST_OF_TAKEN);
  return Math.min(rate, rounded(Math.max(least, rate * (1 - cut))));
}

/** The rate after so many quiet minutes in a row, `setting` at most; `quiet` counts from 1. */
export function raised(rate: number, setting: number, quiet: number): number {
  const step = Math.min(MOST_RAISE, FIRST_RAISE * 3 ** (quiet - 1));
  return Math.min(setting, rounded(rate * (1 + step)));
}

function rounded(rate: number): number {
  return Math.round(rate * 1000) / 1000;
}
