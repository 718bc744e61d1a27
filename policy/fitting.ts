/** JSON characters of all entries of a kind: with the record they stay far below the 2 MiB that Temporal takes as one input. */
const MOST_CHARACTERS = 131_072;

/** The entries, oldest first; the oldest of them `bare`, without their values, where all together are too much. */
export function fitting<Entry>(entries: readonly Entry[], bare: (entry: Entry) => Entry): Entry[] {
  let left = MOST_CHARACTERS;
  const newestFirst = [...entries].reverse().map((entry) => {
    left -= JSON.stringify(entry).length;
    return left < 0 ? bare(entry) : entry;
  });
  return newestFirst.reverse();
}
