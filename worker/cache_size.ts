import { totalmem } from 'node:os';
import { constrainedMemory } from 'node:process';
import { getHeapStatistics } from 'node:v8';

const MB = 1024 * 1024;
/** What a worker takes that has no policy at hand. */
const BASE = 250 * MB;
/** What a policy at hand takes, by `npm run bench -- policy-memory`, and a third more. */
const POLICY = 0.6 * MB;
/** The rest is for what calls and replays take beside. */
const SHARE = 0.6;
const LEAST = 50;
/** A policy that is not at hand is replayed when something comes, at some milliseconds of processor each. */
const MOST = 5_000;

/**
 * How many policies a worker keeps at hand, by the memory that it may take: what the machine has, what its container is
 * given, and what Node's heap may grow to (`--max-old-space-size`), whichever is least.
 * @param limits in bytes; 0 or undefined where there is none
 */
export function cacheSize(limits: readonly (number | undefined)[] = memoryLimits()): number {
  const limit = Math.min(...limits.map((one) => one || Number.POSITIVE_INFINITY));
  const fit = Math.floor((limit * SHARE - BASE) / POLICY);
  return Math.min(MOST, Math.max(LEAST, fit));
}

function memoryLimits(): (number | undefined)[] {
  return [totalmem(), constrainedMemory?.(), getHeapStatistics().heap_size_limit];
}
