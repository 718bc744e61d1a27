import type { Keyring } from '../codec/keys.ts';
import { openFields, sealFields, type Unreadable } from '../codec/sealed_fields.ts';
import type { PolicyFields, PolicyRecord } from '../policy/record.ts';
import type { End } from '../policy/state.ts';
import type { Storage } from './connection.ts';
import type { PolicyDocument, StoredPolicy } from './documents.ts';
import { isDuplicate, StorageUnreadable } from './errors.ts';

/** A document with its sealed values opened; those that no key opens are `undefined` and listed. */
export type ReadPolicy = PolicyDocument & { unreadable: Unreadable[] };

type Identity = Pick<PolicyDocument, 'mchid' | 'out_insurance_no'>;
type Mutable = Omit<PolicyDocument, '_id' | 'updated_at'>;

/** What orders the writes of a policy. */
export type Pair = Pick<PolicyDocument, 'revision' | 'step'>;

/** A policy just opened: everything but how it ends. */
export type NewPolicy = Omit<Mutable, 'end' | 'ended_at'>;
/** A write of the workflow: whose, which, the record of that revision, and the fields that it says anything about. */
export type PolicySnapshot = Identity &
  Pick<Mutable, 'revision' | 'step' | 'life' | 'record' | 'workflow_run'> &
  Partial<Mutable>;

export function documentId(mchid: string, outInsuranceNo: string): string {
  return `${mchid}/${outInsuranceNo}`;
}

export type Claimed =
  /** `namespace`: the one that keeps the other life, where that is not the claimer's own. */
  { outcome: 'claimed' } | { outcome: 'exists'; namespace?: string } | { outcome: 'ended'; end: End };

/**
 * Claims a number for a life. Any number of times for the same life. `exists`: another life has it. `ended`: another
 * life had it, and a number lives once.
 * @throws StorageError
 */
export async function claim(storage: Storage, policy: NewPolicy): Promise<Claimed> {
  const _id = documentId(policy.mchid, policy.out_insurance_no);
  const document = { _id, ...sealed(storage.keyring, _id, policy), end: null, ended_at: null } as StoredPolicy;
  return storage.write(_id, async () => {
    try {
      await storage.policies.insertOne({ ...document, updated_at: new Date() });
      return { outcome: 'claimed' };
    } catch (error) {
      if (!isDuplicate(error)) throw error;
    }
    const found = await storage.policies.findOne({ _id });
    if (!found || found.life === policy.life) return { outcome: 'claimed' };
    if (found.end) return { outcome: 'ended', end: found.end };
    return { outcome: 'exists', ...elsewhere(found, policy.namespace) };
  });
}

export type Restored =
  /** `document.life` is the new one by now; `document.end` is how the life before ended, where its workflow wrote that itself. */
  | { outcome: 'restored'; document: PolicyDocument }
  | { outcome: 'unknown' }
  /** Nothing is left to begin from. */
  | { outcome: 'erased' }
  /** `namespace`: the one that keeps the policy, where that is not the new life's own. */
  | { outcome: 'exists'; life: string; namespace?: string };

type NewLife = Identity & {
  life: string;
  /** Its Temporal namespace. */
  namespace: string;
  /** A life that the caller knows has ended, though its end was not recorded, say by Temporal's history. */
  over?: string;
  /** Whichever namespace keeps the policy so far. */
  adopt?: boolean;
};

/**
 * Hands an ended policy's document to a new life, which goes on from its `(revision, step)`. Any number of times for
 * the same life. `exists`: another life is going on, or another namespace keeps the policy.
 * @throws StorageError, StorageUnreadable where a value does not open: a record in part is none
 */
export async function restore(storage: Storage, life: NewLife): Promise<Restored> {
  const _id = documentId(life.mchid, life.out_insurance_no);
  const found = await storage.write(_id, () => takeOver(storage, _id, life));
  if (found === null) return { outcome: 'unknown' };
  if (found.erased) return { outcome: 'erased' };
  if (found.life !== life.life) return { outcome: 'exists', life: found.life, ...elsewhere(found, life.namespace) };
  const document = whole(storage.keyring, found);
  return { outcome: 'restored', document: { ...document, end: found.taken_over?.end ?? null } };
}

/** The document after the try: its `life` tells who has it. */
async function takeOver(
  storage: Storage,
  _id: string,
  { life, namespace, over, adopt = false }: NewLife,
): Promise<StoredPolicy | null> {
  const found = await storage.policies.findOne({ _id });
  if (!found || found.erased || found.life === life || (found.end === null && found.life !== over)) return found;
  if (!adopt && elsewhere(found, namespace)) return found;
  // Before it is taken: a life that cannot read its record must not keep others from it.
  whole(storage.keyring, found);
  const { life: before, end, ended_by } = found;
  const at = new Date();
  const taken_over = { life: before, end: ended_by === undefined ? end : null, at };
  const anew = { life, namespace, end: null, ended_at: null, updated_at: at, taken_over };
  // The guard is the very end and life that were read: another restart in between matches nothing.
  await storage.policies.updateOne({ _id, life: before, end }, { $set: anew, $unset: { ended_by: '' } });
  return storage.policies.findOne({ _id });
}

/** The namespace that keeps a policy, where it is known and another one. */
function elsewhere({ namespace }: StoredPolicy, own: string | undefined): { namespace: string } | undefined {
  return namespace === undefined || namespace === own ? undefined : { namespace };
}

/**
 * Writes the fields given, over a smaller `(revision, step)` of the same life only, so that a write run twice or late
 * changes nothing (`older`). Nor does a run over a greater step of another one, whatever its revision: steps go on from run to run, so
 * that it does not know what that step was. Makes the document where it lacks.
 * @throws StorageError
 */
export async function writePolicy(storage: Storage, snapshot: PolicySnapshot): Promise<'written' | 'older'> {
  const { mchid, out_insurance_no, revision, step, life, workflow_run } = snapshot;
  const _id = documentId(mchid, out_insurance_no);
  const former = { revision: { $lt: revision } };
  const known = [
    { ...former, workflow_run },
    { ...former, step: { $lte: step } },
  ];
  const over = { _id, life, $or: [...known, { revision, step: { $lt: step } }] };
  const fields = sealed(storage.keyring, _id, snapshot);
  return storage.write(_id, async () => {
    const change = { $set: { ...fields, updated_at: new Date() } };
    const update = async (upsert: boolean): Promise<'written' | 'older'> => {
      const { matchedCount, upsertedCount } = await storage.policies.updateOne(over, change, { upsert });
      return matchedCount + upsertedCount > 0 ? 'written' : 'older';
    };
    try {
      return await update(true);
    } catch (error) {
      if (!isDuplicate(error)) throw error;
    }
    // Of two writes that both found no document, the newer may have come second: once more, over what is there now.
    return update(false);
  });
}

/**
 * The pair above both that on record and that asked about, where the run that asks cannot have come by its own in good order. Another run of
 * the same life wrote a greater step: this one was brought back by a reset of Temporal's, counts what another has counted already, and may have taken a
 * message since. Or this run itself wrote it,
 * of a greater revision at a smaller step: it was replayed to another state than it had, as a run that a reset made may be
 * when the server applied its updates again beside a signal. Undefined for every other run that is still going on.
 * @throws StorageError
 */
export async function pairAhead(
  storage: Storage,
  { mchid, out_insurance_no, life, revision, step, workflow_run }: PolicySnapshot,
): Promise<Pair | undefined> {
  const later = { revision: { $gt: revision } };
  const ahead = [
    { workflow_run: { $ne: workflow_run }, ...later },
    { workflow_run: { $ne: workflow_run }, step: { $gt: step } },
    { workflow_run, ...later, step: { $lt: step } },
  ];
  const _id = documentId(mchid, out_insurance_no);
  const found = await storage.read(() =>
    storage.policies.findOne({ _id, life, $or: ahead }, { projection: { revision: 1, step: 1 } }),
  );
  return found ? { revision: Math.max(found.revision, revision), step: found.step } : undefined;
}

/** @throws StorageError */
export async function findPolicy(storage: Storage, mchid: string, outInsuranceNo: string): Promise<ReadPolicy | null> {
  const found = await storage.read(() => storage.policies.findOne({ _id: documentId(mchid, outInsuranceNo) }));
  return found && opened(storage.keyring, found);
}

type Fields = Record<string, unknown>;

function sealed(keyring: Keyring | undefined, _id: string, policy: Partial<Mutable>): Fields {
  const { record, remote, carried, ...fields } = policy;
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  return {
    ...Object.fromEntries(given),
    ...(record && { record: sealedRecord(keyring, _id, record) }),
    ...(remote !== undefined && { remote: remote && sealFields(keyring, remote, `policies/${_id}/remote`) }),
    ...sealFields(keyring, { carried }, `policies/${_id}`),
  };
}

function sealedRecord(keyring: Keyring | undefined, _id: string, { policy, upload, ...rest }: PolicyRecord): Fields {
  return {
    ...rest,
    policy: sealFields(keyring, policy, `policies/${_id}/policy`),
    ...(upload && { upload: sealFields(keyring, upload, `policies/${_id}/upload`) }),
  };
}

/** The document with its sealed values opened, as far as there are keys. */
export function opened(keyring: Keyring | undefined, stored: StoredPolicy): ReadPolicy {
  const { taken_over: _, record, remote, carried, ...fields } = stored;
  const unreadable: Unreadable[] = [];
  const open = (sealedPart: unknown, part = ''): Fields => {
    const result = openFields(keyring, sealedPart as Fields, `policies/${stored._id}${part && `/${part}`}`);
    unreadable.push(...result.unreadable.map((one) => ({ ...one, field: part ? `${part}.${one.field}` : one.field })));
    return result.fields;
  };
  return {
    ...fields,
    record: {
      ...record,
      policy: open(record.policy, 'policy'),
      ...(record.upload ? { upload: open(record.upload, 'upload') } : {}),
    } as PolicyRecord,
    // A document that a record made anew, after MongoDB had lost it, has none.
    remote: remote ? (open(remote, 'remote') as PolicyFields) : null,
    carried: open({ carried }).carried,
    unreadable,
  };
}

/** The document, of which every value opens. */
function whole(keyring: Keyring | undefined, stored: StoredPolicy): PolicyDocument {
  const { unreadable, ...document } = opened(keyring, stored);
  const [first] = unreadable;
  if (first) throw new StorageUnreadable(stored._id, first.field, first.reason);
  return document;
}
