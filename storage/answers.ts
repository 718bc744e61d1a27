import { sealFields } from '../codec/sealed_fields.ts';
import type { PolicyFields } from '../policy/record.ts';
import type { Storage } from './connection.ts';
import type { PolicyDocument } from './documents.ts';
import { documentId } from './policies.ts';

// What a call says beside the record. It belongs to the record of one revision, and changes nothing where that is not on record: a document
// never claims a revision that it has not got. A record may have been written beside the call, at a greater step; it knows nothing of
// what the call says since, so that times order these.

/** Which record of which life. */
type Of = Pick<PolicyDocument, 'mchid' | 'out_insurance_no' | 'life' | 'revision'>;

/** The policy as WeChat Pay showed it. */
export interface ObservedPolicy extends Of {
  step: number;
  remote: PolicyFields;
  observed_at: Date;
}

/**
 * Records an answer over a smaller step, or over an answer of before. `older`: it is not on record.
 * @throws StorageError
 */
export async function writeAnswer(storage: Storage, answer: ObservedPolicy): Promise<'written' | 'older'> {
  const { step, observed_at } = answer;
  const of = queryOf(answer);
  const { _id } = of;
  const over = { ...of, $or: [{ step: { $lt: step } }, { observed_at: null }, { observed_at: { $lt: observed_at } }] };
  const remote = sealFields(storage.keyring, answer.remote, `policies/${_id}/remote`);
  const change = { $set: { remote, observed_at, updated_at: new Date() }, $max: { step } };
  const { matchedCount } = await storage.write(_id, () => storage.policies.updateOne(over, change));
  return matchedCount > 0 ? 'written' : 'older';
}

/** A verification that found nothing: it changes no pair. */
export interface QuietVerification extends Of {
  verified_at: Date;
  next_verification_at: Date | null;
}

/**
 * Records a quiet verification, only forward in time. `later`: one of later is on record. `older`: neither is.
 * @throws StorageError
 */
export async function writeVerification(
  storage: Storage,
  verification: QuietVerification,
): Promise<'written' | 'later' | 'older'> {
  const { verified_at, next_verification_at } = verification;
  const of = queryOf(verification);
  const over = { ...of, $or: [{ verified_at: null }, { verified_at: { $lt: verified_at } }] };
  const change = { $set: { verified_at, next_verification_at, updated_at: new Date() } };
  return storage.write(of._id, async () => {
    const { matchedCount } = await storage.policies.updateOne(over, change);
    if (matchedCount > 0) return 'written';
    // The clock of another worker may be ahead: what that has verified holds.
    return (await storage.policies.findOne(of, { projection: { _id: 1 } })) ? 'later' : 'older';
  });
}

/**
 * Records when the first verification comes, which a record written beside it does not know.
 * @throws StorageError
 */
export async function writeNextVerification(
  storage: Storage,
  { next_verification_at, ...of }: Of & Pick<QuietVerification, 'next_verification_at'>,
): Promise<'written' | 'older'> {
  const query = queryOf(of);
  const change = { $set: { next_verification_at, updated_at: new Date() } };
  const { matchedCount } = await storage.write(query._id, () => storage.policies.updateOne(query, change));
  return matchedCount > 0 ? 'written' : 'older';
}

function queryOf({ mchid, out_insurance_no, life, revision }: Of) {
  return { _id: documentId(mchid, out_insurance_no), life, revision };
}
