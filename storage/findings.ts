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
 * @param mchids of these merchants alone, and that no worker serves anybody: what else concerns all tells of others, too
 * @throws StorageError
 */
export async function listFindings(
  storage: Storage,
  limit: number,
  mchids?: readonly string[],
): Promise<StoredFinding[]> {
  const which = mchids ? { $or: [{ mchid: { $in: [...mchids] } }, { mchid: null, kind: 'not-served' as const }] } : {};
  return storage.readPage(() => storage.findings.find(which).sort({ _id: 1 }).limit(limit).toArray());
}
