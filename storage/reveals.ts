import { randomUUID } from 'node:crypto';
import { sealField } from '../codec/sealed_fields.ts';
import type { Storage } from './connection.ts';
import { documentId, type ReadPolicy } from './policies.ts';

/** The command of the line. */
export const REVEAL = 'reveal';

/**
 * Notes among the commands of a policy that somebody is about to see its personal values. It asks nothing of WeChat Pay, so it is
 * confirmed as it is written.
 * @throws StorageError
 */
export async function writeReveal(
  storage: Storage,
  { mchid, out_insurance_no, revision }: Pick<ReadPolicy, 'mchid' | 'out_insurance_no' | 'revision'>,
  by: string | undefined,
): Promise<void> {
  const policy = documentId(mchid, out_insurance_no);
  const _id = `${policy}/reveal-${randomUUID()}`;
  const at = new Date();
  const nothing = { event_id: null, version: null, cause: null, reason: null, business_date: null, rule: null };
  await storage.write(`${policy}/commands`, () =>
    storage.commands.insertOne({
      _id,
      ...{ policy, mchid, command: REVEAL, revision, ...nothing, before: {}, after: {} },
      by: sealField(storage.keyring, 'by', by, `commands/${_id}/by`) ?? null,
      ...{ at, confirmed_at: at, request_id: null },
    }),
  );
}
