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
