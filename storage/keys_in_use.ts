import { keyIdOf } from '../codec/sealed_fields.ts';
import type { Storage } from './connection.ts';

/** Of so many records the keys are looked at. */
export const LOOKED_AT = 5_000;

/**
 * Which payload keys seal records of policies, and how many each; `undefined` stands for records in the clear.
 * @throws StorageError
 */
export async function keysInUse(storage: Storage): Promise<Map<string | undefined, number>> {
  const found = await storage.readPage(() =>
    storage.policies
      .find({ end: { $ne: 'ERASED' } }, { projection: { carried: 1 } })
      .limit(LOOKED_AT)
      .toArray(),
  );
  const counts = new Map<string | undefined, number>();
  for (const { carried } of found) {
    const id = keyIdOf(carried);
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  return counts;
}
