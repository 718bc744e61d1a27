const SECOND = 1000;
const LONGEST = 10 * 60 * SECOND;
const SPREAD = 0.2;

/** Full second steps doubling from 1 s to 10 min, each taken at 50 to 100 %, so that a fleet does not return at once. */
export function backoff(attempt: number, random: () => number = Math.random): number {
  const step = Math.min(SECOND * 2 ** Math.min(attempt - 1, 20), LONGEST);
  return Math.round(step * (0.5 + random() / 2));
}

/**
 * How long a call without effect waits for its next attempt, in ms: what `Retry-After` asks for, up to a fifth longer, where
 * that is later than our own backoff. Asked for a second again and again, a fleet backs off all the same.
 */
export function retryWait(attempt: number, retryAfter = 0, random: () => number = Math.random): number {
  return Math.max(backoff(attempt, random), Math.round(retryAfter * (1 + SPREAD * random())));
}

/** A number in [0, 1) that depends on the text alone (FNV-1a). */
function fraction(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193) >>> 0;
  return hash / 2 ** 32;
}

const SOON = 60 * SECOND;

/** What a verification is of, and by how many of its ages the next one comes later. */
export const GROWTH = {
  /** What WeChat Pay confirmed changes seldom, and each look costs a request and an action of Temporal's. */
  confirmed: 3,
  /** A policy that WeChat Pay does not know yet is waited for. */
  absent: 1,
} as const;

/**
 * How long after an attempt the next verification comes, in ms: a minute after the confirmation, then each time its age
 * has quadrupled (doubled, where WeChat Pay does not know the policy), up to `every`, each shifted by up to a fifth by the
 * policy's number, so that a fleet never verifies in step.
 * @param age of the confirmation, or since when WeChat Pay says that it has none, in ms
 */
export function nextVerification(
  number: string,
  attempt: number,
  age: number,
  every: number,
  of: keyof typeof GROWTH,
): number {
  const span = Math.min(every, Math.max(SOON, GROWTH[of] * age));
  const shift = 1 - SPREAD + 2 * SPREAD * fraction(`${number}/${attempt}`);
  return Math.max(SECOND / 2, Math.round(span * shift));
}
