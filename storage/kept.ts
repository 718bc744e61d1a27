import { differences } from '../policy/difference.ts';
import { listCalls } from './calls.ts';
import { listCommands, type ReadCommand } from './commands.ts';
import type { Storage } from './connection.ts';
import { listDiscrepancies, type ReadDiscrepancy } from './discrepancies.ts';
import type { Call } from './documents.ts';
import { sealedIn, shownFields, shownValue, unreadableIn } from './masked.ts';
import { findPolicy, type ReadPolicy } from './policies.ts';

/** So many of each are shown. */
const LATEST = 20;

/** What MongoDB keeps of a policy, fit to be shown. */
export interface Kept {
  document: Record<string, unknown> &
    Pick<ReadPolicy, 'policy_state' | 'sync' | 'revision' | 'synced_revision' | 'end'>;
  /** The policy as the merchant wants it, and as WeChat Pay last showed it. */
  desired: Record<string, unknown>;
  remote: Record<string, unknown> | null;
  /** Names of the fields in which the two differ. */
  differing: string[];
  /** The latest first. */
  calls: Call[];
  discrepancies: ReadDiscrepancy[];
  commands: ReadCommand[];
}

/**
 * `undefined` where the policy is not there.
 * @throws StorageError
 */
export async function keptOf(
  storage: Storage,
  { mchid, out_insurance_no }: Pick<ReadPolicy, 'mchid' | 'out_insurance_no'>,
  reveal?: boolean,
): Promise<Kept | undefined> {
  const found = await findPolicy(storage, mchid, out_insurance_no);
  if (!found) return undefined;
  const [calls, discrepancies, commands] = await Promise.all([
    listCalls(storage, found._id, LATEST),
    listDiscrepancies(storage, found._id, LATEST),
    listCommands(storage, found._id, LATEST),
  ]);
  const { record, remote, carried: _own, ...document } = found;
  return {
    document,
    desired: shownFields(record.policy, reveal, unreadableIn('policy', found.unreadable)),
    remote: remote && shownFields(remote, reveal, unreadableIn('remote', found.unreadable)),
    differing: differences(record.policy, remote ?? record.policy).map(({ field }) => field),
    calls,
    discrepancies: discrepancies.map((one) => shownDiscrepancy(one, reveal)),
    commands: commands.map((one) => shownCommand(one, reveal)),
  };
}

function shownDiscrepancy(one: ReadDiscrepancy, reveal: boolean | undefined): ReadDiscrepancy {
  const { field, ours, theirs, unreadable } = one;
  const values = { ours: shownValue(field, ours, reveal), theirs: shownValue(field, theirs, reveal) };
  return { ...one, ...shownFields(values, true, unreadable) };
}

/** A command, fit to be shown: personal values masked unless they were asked for. */
export function shownCommand(one: ReadCommand, reveal: boolean | undefined): ReadCommand {
  const { by, reason, before, after, unreadable } = one;
  return {
    ...one,
    by: by ?? sealedIn('by', unreadable) ?? null,
    reason: reason ? shownValue('reason', reason, reveal) : (sealedIn('reason', unreadable) ?? null),
    before: shownFields(before, reveal, unreadable),
    after: shownFields(after, reveal, unreadable),
  };
}
