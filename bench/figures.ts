/**
 * The value that `share` of the values do not exceed (nearest rank).
 * @param share above 0, at most 1
 * @returns NaN of none
 */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN;
}

/** The most of these instants that lie within any span so long; instants and span in ms. */
export function mostWithin(instants: readonly number[], span: number): number {
  const sorted = [...instants].sort((a, b) => a - b);
  let most = 0;
  let first = 0;
  for (const [index, instant] of sorted.entries()) {
    while (instant - (sorted[first] ?? instant) >= span) first++;
    most = Math.max(most, index - first + 1);
  }
  return most;
}

/** Of both ends so much is left out, for a few that come early or late would stretch the window. */
const TAIL = 0.025;

/** How many of these instants (in ms) come a second, in the mean of the window that has most of them, and in its fullest part. */
export function peakOverMean(
  instants: readonly number[],
  parts: number,
): { peak: number; mean: number; span_ms: number } {
  const [from, to] = [percentile(instants, TAIL), percentile(instants, 1 - TAIL)];
  const counts = new Array<number>(parts).fill(0);
  for (const instant of instants) {
    const part = Math.floor(((instant - from) / (to - from)) * parts);
    if (part in counts) counts[part] = (counts[part] ?? 0) + 1;
  }
  const all = counts.reduce((sum, one) => sum + one, 0);
  const span_ms = to - from;
  return { peak: (1000 * parts * Math.max(...counts)) / span_ms, mean: (1000 * all) / span_ms, span_ms };
}
