import type { Storage } from './connection.ts';

/** How many policies are alike. */
export interface Grouped<Key> {
  of: Key;
  policies: number;
}

/**
 * Counts the policies that match, by what `key` names of them: a field, or several.
 * @param read how long MongoDB may take: `storage.readPage`, or `storage.readAll`
 * @throws StorageError
 */
export async function grouped<Key>(
  { policies }: Storage,
  read: Storage['readPage'],
  match: object,
  key: unknown,
): Promise<Grouped<Key>[]> {
  const found = await read(() =>
    policies
      .aggregate<{ _id: Key; n: number }>([{ $match: match }, { $group: { _id: key, n: { $sum: 1 } } }])
      .toArray(),
  );
  return found.map(({ _id, n }) => ({ of: _id, policies: n }));
}
