/** How many characters have to be put in, taken out, changed or swapped with the next to make one word of the other. */
function distance(a: string, b: string): number {
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, at) => at)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (before[j - 2] ?? 0) + 1 : change;
      row.push(Math.min(change, swapped, (last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    [before, last] = [last, row];
  }
  return last[b.length] ?? 0;
}

// Longer than any name of the contract's: what is longer is near to none.
const LONGEST = 64;

/** The known name that is nearest to another, where one is near: at most a third of it differs. */
export function nearest(name: string, known: Iterable<string>): string | undefined {
  if (name.length > LONGEST) return undefined;
  const near = [...known].map((one) => ({ one, far: distance(name.toLowerCase(), one) }));
  const [best] = near.sort((a, b) => a.far - b.far);
  return best && best.far <= Math.max(1, Math.floor(name.length / 3)) ? best.one : undefined;
}

/** How many of the names that are none a message looks for the nearest of: a workflow task that takes seconds fails, again and again. */
export const MOST_NAMED = 5;

/** Names that are none, each with the nearest, as far as a message names them. */
export function noSuchNames(names: readonly string[], known: readonly string[]): string {
  const told = names.slice(0, MOST_NAMED).map((name) => `${name}: ${noSuchName(name, known)}`);
  return [...told, ...(names.length > told.length ? [`and ${names.length - told.length} more`] : [])].join(', ');
}

/** `no such name; the nearest is …`, for a message that has named it. */
export function noSuchName(name: string, known: Iterable<string>): string {
  const near = nearest(name, known);
  return near === undefined ? 'there is no such name' : `there is no such name, the nearest is ${near}`;
}
