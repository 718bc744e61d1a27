import { type Keyring, UnknownKey } from '../codec/keys.ts';
import { SealBroken } from '../codec/seal.ts';
import { resealedFields, resealedValue } from '../codec/sealed_fields.ts';
import type { Storage } from './connection.ts';
import type { StoredCommand, StoredDiscrepancy, StoredPolicy } from './documents.ts';

const PAGE = 200;

/** Values that rest under a former key, sealed anew, by their paths in the document. */
type Changes = Record<string, unknown>;

/** What a look at some documents came to. */
export interface Resealed {
  documents: number;
  /** Sealed with a key that is no longer the first: so many of them are sealed anew by now, and so many are not. */
  resealed: number;
  left: number;
  /** With one that is not there. */
  locked: number;
}

/**
 * Looks at every document for values that a former payload key seals, a page at a time, and with `fix` seals them with the present one.
 * A document that is written meanwhile is left for the next time: a write seals with the present key.
 * @throws StorageError
 */
export async function* resealAll(storage: Storage, keyring: Keyring, fix: boolean): AsyncGenerator<Resealed> {
  const { policies, commands, discrepancies } = storage;
  const collections = [
    each<StoredPolicy>(
      policies,
      (one) => inPolicy(keyring, one),
      // Two writes in one millisecond are told apart by what they wrote.
      (one, changes) => ({ updated_at: one.updated_at, ...unchanged(one, changes) }),
    ),
    each<StoredCommand>(commands, (one) => inCommand(keyring, one), unchanged),
    each<StoredDiscrepancy>(discrepancies, (one) => inDiscrepancy(keyring, one), unchanged),
  ];
  for (const pages of collections) yield* pages(storage, fix);
}

type Documents<T> = {
  find(query: object): { sort(by: object): { limit(n: number): { toArray(): Promise<T[]> } } };
  updateOne(query: object, change: object): Promise<{ matchedCount: number }>;
};

/** @param as what a document must still be like to be written: nothing that was taken out meanwhile may come back */
function each<T extends { _id: string }>(
  collection: unknown,
  changesOf: (one: T) => Changes,
  as: (one: T, changes: Changes) => object,
) {
  const documents = collection as Documents<T>;
  return async function* (storage: Storage, fix: boolean): AsyncGenerator<Resealed> {
    for (let last = ''; ; ) {
      const page = await storage.readAll(() =>
        documents
          .find({ _id: { $gt: last } })
          .sort({ _id: 1 })
          .limit(PAGE)
          .toArray(),
      );
      const told: Resealed = { documents: page.length, resealed: 0, left: 0, locked: 0 };
      for (const one of page) {
        const changes = orLocked(() => changesOf(one));
        if (changes === 'locked') told.locked++;
        if (changes === 'locked' || Object.keys(changes).length === 0) continue;
        const query = { _id: one._id, ...as(one, changes) };
        const written =
          fix && (await storage.write(one._id, () => documents.updateOne(query, { $set: changes }))).matchedCount > 0;
        told[written ? 'resealed' : 'left']++;
      }
      yield told;
      if (page.length < PAGE) return;
      last = page.at(-1)?._id ?? last;
    }
  };
}

function orLocked(changes: () => Changes): Changes | 'locked' {
  try {
    return changes();
  } catch (error) {
    if (error instanceof UnknownKey || error instanceof SealBroken) return 'locked';
    throw error;
  }
}

/** The values themselves, as they were read. */
function unchanged(one: object, changes: Changes): object {
  const at = (path: string): unknown =>
    path.split('.').reduce<unknown>((value, part) => (value as Record<string, unknown> | undefined)?.[part], one);
  return Object.fromEntries(Object.keys(changes).map((path) => [path, at(path)]));
}

type Fields = Record<string, unknown> | null | undefined;

function inPolicy(keyring: Keyring, { _id, record, remote, carried }: StoredPolicy): Changes {
  const { policy, upload } = record as { policy?: Fields; upload?: Fields };
  const place = `policies/${_id}`;
  return {
    ...under('record.policy', resealedFields(keyring, policy ?? {}, `${place}/policy`)),
    ...under('record.upload', resealedFields(keyring, upload ?? {}, `${place}/upload`)),
    ...under('remote', resealedFields(keyring, remote ?? {}, `${place}/remote`)),
    ...resealedFields(keyring, { carried }, place),
  };
}

function inCommand(keyring: Keyring, { _id, by, reason, before, after }: StoredCommand): Changes {
  const place = `commands/${_id}`;
  return {
    ...resealedFields(keyring, { by, reason }, place),
    ...under('before', resealedFields(keyring, before, `${place}/before`)),
    ...under('after', resealedFields(keyring, after, `${place}/after`)),
  };
}

function inDiscrepancy(keyring: Keyring, { _id, ours, theirs }: StoredDiscrepancy): Changes {
  const sides = { ours, theirs };
  const anew = Object.entries(sides).map(([side, value]) => [
    side,
    resealedValue(keyring, value, `discrepancies/${_id}/${side}`),
  ]);
  return Object.fromEntries(anew.filter(([, value]) => value !== undefined));
}

function under(path: string, changes: Changes): Changes {
  return Object.fromEntries(Object.entries(changes).map(([name, value]) => [`${path}.${name}`, value]));
}
