import type { KeptDiscrepancy, KeptEntry, LastAnswer } from '../policy/as_of.ts';
import { listCommands } from './commands.ts';
import type { Storage } from './connection.ts';
import { listDiscrepancies } from './discrepancies.ts';
import type { CallIntent } from './documents.ts';
import { ERASED } from './erasure.ts';
import { StorageUnreadable } from './errors.ts';
import { ALWAYS_KEPT } from './old_calls.ts';
import { REVEAL } from './reveals.ts';

// What is kept of a policy's past, as the rules of policy/as_of.ts ask for it.

const ALL = 0;

/**
 * Everything that was said and found.
 * @throws StorageError, StorageUnreadable where a value does not open
 */
export async function pastOf(
  storage: Storage,
  policy: string,
): Promise<{ entries: KeptEntry[]; discrepancies: KeptDiscrepancy[] }> {
  const [commands, found] = await Promise.all([
    listCommands(storage, policy, ALL),
    listDiscrepancies(storage, policy, ALL),
  ]);
  const [sealed] = [...commands, ...found].flatMap(({ unreadable }) => unreadable);
  if (sealed) throw new StorageUnreadable(policy, sealed.field, sealed.reason);
  return {
    // Lines of ours, that somebody saw personal values or had them erased, are no messages, whatever revision they name.
    entries: commands
      .filter(({ command }) => command !== REVEAL && command !== ERASED)
      .map(({ _id, command, before, after, revision, at, business_date, rule, confirmed_at }) => ({
        ...{ id: _id, command, before, after, revision, at: at.getTime() },
        ...(business_date != null && { business_date }),
        ...(rule != null && { rule }),
        confirmed_at: confirmed_at?.getTime() ?? null,
      })),
    discrepancies: found.map(({ _id, field, kind, became, ours, theirs, found_at, settled_at }) => ({
      ...{ id: _id, field, kind, became, theirs, found_at: found_at.getTime() },
      // Nobody wants nothing: the value was left out, or erased.
      ours: ours ?? null,
      settled_at: settled_at?.getTime() ?? null,
    })),
  };
}

/**
 * The last answer of WeChat Pay's up to a time, and from when on all are kept.
 * @throws StorageError
 */
export async function lastAnswer(storage: Storage, policy: string, at: Date): Promise<LastAnswer> {
  const { calls } = storage;
  const [unrecorded, count, oldest, last] = await storage.readPage(() =>
    Promise.all([
      calls.countDocuments({ policy, count: { $exists: true } }),
      calls.countDocuments({ policy }),
      calls.find({ policy }).sort({ at: 1 }).limit(1).next(),
      calls
        .find({ policy, outcome: 'confirmed', at: { $lte: at } })
        .sort({ at: -1 })
        .limit(1)
        .next(),
    ]),
  );
  const since = count < ALWAYS_KEPT ? Number.NEGATIVE_INFINITY : (oldest?.at.getTime() ?? Number.POSITIVE_INFINITY);
  return {
    complete_since: unrecorded > 0 ? Number.POSITIVE_INFINITY : since,
    last: last && { at: last.at.getTime(), revision: (last as CallIntent).revision },
  };
}
