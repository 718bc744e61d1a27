import type { Keyring } from '../codec/keys.ts';
import { openField, sealField, type Unreadable } from '../codec/sealed_fields.ts';
import type { Attempt } from './calls.ts';
import type { Storage } from './connection.ts';

export type DiscrepancyKind = 'drift' | 'state' | 'not-taken' | 'unreadable' | 'adopt';
export type Became = 'healed' | 'reported' | 'adopted';

/** A field that WeChat Pay holds otherwise than we do. */
export interface Finding {
  field: string;
  kind: DiscrepancyKind;
  ours?: unknown;
  theirs?: unknown;
}

/** What one attempt of a verification, or of a call whose answer was compared, found of a policy. */
export interface Findings extends Attempt {
  /** `_id` of the policy. */
  policy: string;
  mchid: string;
  found_at: Date;
  findings: readonly Finding[];
}

/** A document of `discrepancies`; `ours` and `theirs` rest sealed where the field is personal. */
export interface StoredDiscrepancy {
  /** `{run}/{activity}/{attempt}/{field}` */
  _id: string;
  policy: string;
  mchid: string;
  field: string;
  kind: DiscrepancyKind;
  ours?: unknown;
  theirs?: unknown;
  found_at: Date;
  became: Became | null;
  settled_at: Date | null;
}

export type ReadDiscrepancy = StoredDiscrepancy & { unreadable: Unreadable[] };

/**
 * Records what was found, each once however often it is written; what became of it stays.
 * @throws StorageError
 */
export async function writeDiscrepancies(storage: Storage, found: Findings): Promise<void> {
  const { workflow_run, activity_id, attempt, policy, mchid, found_at, findings } = found;
  if (findings.length === 0) return;
  const documents = findings.map(({ field, kind, ours, theirs }) => {
    const _id = `${workflow_run}/${activity_id}/${attempt}/${field}`;
    const seal = (side: Side, value: unknown) => sealField(storage.keyring, field, value, place(_id, side));
    const values = { ours: seal('ours', ours), theirs: seal('theirs', theirs) };
    return { _id, policy, mchid, field, kind, ...values, found_at, became: null, settled_at: null };
  });
  await storage.write(`${policy}/discrepancies`, () =>
    storage.discrepancies.bulkWrite(
      documents.map(({ _id, ...document }) => ({
        updateOne: { filter: { _id }, update: { $setOnInsert: document }, upsert: true },
      })),
    ),
  );
}

/** What became of the open discrepancies of a policy: of the fields named, or of all. */
export interface Settlement {
  policy: string;
  fields?: readonly string[];
  became: Became;
  settled_at: Date;
}

/**
 * Settles what is open and was found not after `settled_at`, so that a settlement run late leaves newer ones alone.
 * @throws StorageError
 */
export async function settle(storage: Storage, { policy, fields, became, settled_at }: Settlement): Promise<void> {
  const open = { policy, became: null, found_at: { $lte: settled_at } };
  await storage.write(`${policy}/discrepancies`, () =>
    storage.discrepancies.updateMany(fields ? { ...open, field: { $in: [...fields] } } : open, {
      $set: { became, settled_at },
    }),
  );
}

/**
 * The discrepancies of a policy, the newest first.
 * @throws StorageError
 */
export async function listDiscrepancies(storage: Storage, policy: string, limit: number): Promise<ReadDiscrepancy[]> {
  const found = await storage.read(() =>
    storage.discrepancies.find({ policy }).sort({ found_at: -1 }).limit(limit).toArray(),
  );
  return found.map((stored) => opened(storage.keyring, stored));
}

type Side = 'ours' | 'theirs';

/** Where a sealed value belongs; it opens nowhere else. */
function place(_id: string, side: Side): string {
  return `discrepancies/${_id}/${side}`;
}

function opened(keyring: Keyring | undefined, stored: StoredDiscrepancy): ReadDiscrepancy {
  const unreadable: Unreadable[] = [];
  const open = (side: Side) => openField(keyring, stored.field, stored[side], place(stored._id, side), unreadable);
  // FerretDB's $setOnInsert leaves out nulls.
  const { became = null, settled_at = null } = stored;
  return { ...stored, became, settled_at, ours: open('ours'), theirs: open('theirs'), unreadable };
}
