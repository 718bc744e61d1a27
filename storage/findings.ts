import type { Storage } from './connection.ts';
import type { Finding, StoredFinding } from './documents.ts';

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
