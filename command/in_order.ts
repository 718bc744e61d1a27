/**
 * Does `work` for each item, at most `atOnce` of them at a time, and gives the results in the items' order. What failed is a
 * result like any other, so that it keeps no other from being done.
 */
export async function* inOrder<Item, Result>(
  items: Iterable<Item>,
  atOnce: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<{ item: Item; result: PromiseSettledResult<Result> }> {
  const begun: { item: Item; settled: Promise<[PromiseSettledResult<Result>]> }[] = [];
  const first = async () => {
    const [{ item, settled }] = begun.splice(0, 1) as [(typeof begun)[number]];
    const [result] = await settled;
    return { item, result };
  };
  for (const item of items) {
    if (begun.length === atOnce) yield await first();
    begun.push({ item, settled: Promise.allSettled([work(item)]) });
  }
  while (begun.length > 0) yield await first();
}
