import type { Storage } from './connection.ts';

/** `no-workflow`: the record's workflow is gone. `terminated`: somebody terminated it. `stopped`: somebody cancelled it.
 * `stop-not-recorded`: the same, unknown to the record. `paused`: somebody paused it, or a call of it. `no-record`: a
 * workflow that the records lack. `stuck`: its workflow task fails over and over. `not-served`: calls wait in a queue
 * that nobody polls. */
export const FINDING_KINDS = [
  'no-workflow',
  'terminated',
  'stopped',
  'stop-not-recorded',
  'paused',
  'no-record',
  'stuck',
  'not-served',
] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];

/** What an audit found, of a policy or of a queue; nothing personal. */
export interface Finding {
  kind: FindingKind;
  /** null: it is about the queue `policy-sync`, which serves all. */
  mchid: string | null;
  out_insurance_no: string | null;
  /** One line: what is wrong, and what to do. */
  reason: string;
}

/** A document of `findings`: found by the last audit, and not fixed by it. */
export interface StoredFinding extends Finding {
  /** `{kind}/{mchid}/{out_insurance_no}` */
  _id: string;
  /** By the first of the audits that have found it since. */
  since: Date;
  found_at: Date;
}

/**
 * Keeps what a whole audit, begun at `began`, left unfixed, and forgets what it did not find any more.
 * @throws StorageError
 */
export async function keepFindings(storage: Storage, findings: readonly Finding[], began: Date): Promise<void> {
  for (const finding of findings) {
    const _id = [finding.kind, finding.mchid ?? '', finding.out_insurance_no ?? ''].join('/');
    const change = { $set: { ...finding, found_at: new Date() }, $setOnInsert: { since: began } };
    await storage.write(`findings/${_id}`, () => storage.findings.updateOne({ _id }, change, { upsert: true }));
  }
  await storage.readPage(() => storage.findings.deleteMany({ found_at: { $lt: began } }));
}

/**
 * The findings of the last audit, at most `limit`, in the order of kind and policy.
 * @throws StorageError
 */
export async function listFindings(storage: Storage, limit: number): Promise<StoredFinding[]> {
  return storage.readPage(() => storage.findings.find({}).sort({ _id: 1 }).limit(limit).toArray());
}
