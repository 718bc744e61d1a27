import type { PolicyId } from '../client/start_operation.ts';
import type { ReadCommand } from '../storage/commands.ts';
import type { ReadDiscrepancy } from '../storage/discrepancies.ts';
import type { Call } from '../storage/documents.ts';
import type { ReadPolicy } from '../storage/policies.ts';
import { sealedIn, shownFields, shownValue, unreadableIn } from './masked.ts';
import { withStorage } from './storage.ts';

/** So many of each are shown. */
const LATEST = 20;

/** What MongoDB keeps of a policy, fit to be shown. */
export interface Kept {
  document: Record<string, unknown> &
    Pick<ReadPolicy, 'policy_state' | 'sync' | 'revision' | 'synced_revision' | 'end'>;
  /** The policy as the merchant wants it, and as WeChat Pay last showed it. */
  desired: Record<string, unknown>;
  remote: Record<string, unknown> | null;
  /** The latest first. */
  calls: Call[];
  discrepancies: ReadDiscrepancy[];
  commands: ReadCommand[];
}

/** `undefined` where `MONGODB_URI` is not set or the policy is not there. */
export async function keptOf({ mchid, out_insurance_no }: PolicyId, reveal?: boolean): Promise<Kept | undefined> {
  return withStorage(async (storage) => {
    const [{ findPolicy, documentId }, { listCalls }, { listDiscrepancies }, { listCommands }] = await Promise.all([
      import('../storage/policies.ts'),
      import('../storage/calls.ts'),
      import('../storage/discrepancies.ts'),
      import('../storage/commands.ts'),
    ]);
    const found = await findPolicy(storage, mchid, out_insurance_no);
    if (!found) return undefined;
    const id = documentId(mchid, out_insurance_no);
    const [calls, discrepancies, commands] = await Promise.all([
      listCalls(storage, id, LATEST),
      listDiscrepancies(storage, id, LATEST),
      listCommands(storage, id, LATEST),
    ]);
    const { record, remote, carried: _own, ...document } = found;
    return {
      document,
      desired: shownFields(record.policy, reveal, unreadableIn('policy', found.unreadable)),
      remote: remote && shownFields(remote, reveal, unreadableIn('remote', found.unreadable)),
      calls,
      discrepancies: discrepancies.map((one) => ({
        ...one,
        ...shownFields(
          { ours: shownValue(one.field, one.ours, reveal), theirs: shownValue(one.field, one.theirs, reveal) },
          true,
          one.unreadable,
        ),
      })),
      commands: commands.map((one) => ({
        ...one,
        by: one.by ?? sealedIn('by', one.unreadable) ?? null,
        reason: one.reason ? shownValue('reason', one.reason, reveal) : (sealedIn('reason', one.unreadable) ?? null),
        before: shownFields(one.before, reveal, one.unreadable),
        after: shownFields(one.after, reveal, one.unreadable),
      })),
    };
  });
}
