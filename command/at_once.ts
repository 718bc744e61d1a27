/**
 * Does `work` for each item, at most `atOnce` of them at a time, and begins the next as soon as any has ended: one that takes
 * long holds up no other. When one fails, no further one is begun, and the failure is thrown once those under way have ended.
 */
export async function eachAtOnce<Item>(
  items: AsyncIterable<Item> | Iterable<Item>,
  atOnce: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  let failed = false;
  const oneByOne = async (): Promise<void> => {
    try {
      for (let next = await iterator.next(); !next.done && !failed; next = await iterator.next())
        await work(next.value);
    } catch (error) {
      failed = true;
      throw error;
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: atOnce }, oneByOne));
  await iterator.return?.();
  const failure = ended.find((one) => one.status === 'rejected');
  if (failure) throw failure.reason;
}
