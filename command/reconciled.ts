import type { PolicyId } from '../client/start_operation.ts';
import { differencesAsOf, type Held, type History, oursAsOf, type Seen, theirsAsOf } from '../policy/as_of.ts';
import { isPersonal, POLICY_FIELDS } from '../policy/fields.ts';
import type { PolicyFields } from '../policy/record.ts';
import type { Storage } from '../storage/connection.ts';
import { StorageUnreadable } from '../storage/errors.ts';
import { lastAnswer, pastOf } from '../storage/history.ts';
import { shownFields } from '../storage/masked.ts';
import type { ReadPolicy } from '../storage/policies.ts';
import { heldOf } from '../workflows/plan.ts';

/** Whether WeChat Pay was last seen to hold what we held. */
export type Verdict = 'same' | 'differs' | 'unknown';

/** What was held of a policy at a time gone by. */
export interface Reconciled extends PolicyId {
  as_of: Date;
  verdict: Verdict;
  /** Names of the fields that differed. */
  differs: string[];
  /** What we held, as far as that is known; personal values masked. */
  ours: Record<string, unknown>;
  /** What WeChat Pay was last seen to hold; null where that is not known at all. */
  theirs: Record<string, unknown> | null;
  /** When it was seen; null where it is not known. */
  seen_at: Date | null;
  /** WeChat Pay said that it had no such policy. */
  absent: boolean;
  /** Names of the fields of which what was held is not known. */
  unknown: { ours: string[]; theirs: string[] };
}

/** How many policies there are of each verdict. */
export interface ReconciledAll extends Record<Verdict, number> {
  as_of: Date;
  policies: number;
}

/**
 * What was held of a policy at a time; undefined where it was not open yet.
 * @throws StorageError, StorageUnreadable where a value does not open
 */
export async function reconciledOf(
  storage: Storage,
  policy: ReadPolicy,
  as_of: Date,
  reveal: boolean | undefined,
): Promise<Reconciled | undefined> {
  const { _id, mchid, out_insurance_no } = policy;
  const [sealed] = policy.unreadable;
  if (sealed) throw new StorageUnreadable(_id, sealed.field, sealed.reason);
  const at = as_of.getTime();
  if (policy.opened_at.getTime() > at) return undefined;
  const history = await historyOf(storage, policy);
  const ours = oursAsOf(history, at);
  if (!ours) return undefined;
  let theirs = theirsAsOf(history, at, undefined);
  if (theirs === 'needs-answers') theirs = theirsAsOf(history, at, await lastAnswer(storage, _id, as_of));
  const seen = theirs === 'needs-answers' ? null : theirs;
  if (policy.erased) for (const held of [ours, seen]) if (held) forget(held);
  const differs = seen ? differencesAsOf(ours, seen).map(({ field }) => field) : [];
  return {
    ...{ mchid, out_insurance_no, as_of, verdict: verdictOf(ours, seen, differs), differs },
    ours: shownFields(ours.fields, reveal),
    theirs: seen && shownFields(seen.fields, reveal),
    seen_at: seen ? new Date(seen.seen_at) : null,
    absent: seen?.absent ?? false,
    unknown: { ours: ours.unknown, theirs: seen?.unknown ?? [] },
  };
}

async function historyOf(storage: Storage, policy: ReadPolicy): Promise<History> {
  const { _id, remote, observed_at, verified_at, opened_at, attention } = policy;
  const unreadable = attention.flatMap((mark) => /^unreadable:(.+)$/.exec(mark)?.[1] ?? []);
  return {
    ...(await pastOf(storage, _id)),
    opened_at: opened_at.getTime(),
    ours: wanted(policy),
    theirs: remote && observed_at ? { policy: remote, at: observed_at.getTime(), unreadable } : null,
    verified_at: verified_at?.getTime() ?? null,
  };
}

/** The record, and its window as far as it has opened or closed, where the workflow left what it goes by. */
function wanted(policy: ReadPolicy): PolicyFields {
  return policy.carried == null ? policy.record.policy : heldOf(policy);
}

/** Its personal values are gone: nobody knows them any more. */
function forget(held: Held): void {
  const personal = Object.keys(POLICY_FIELDS).filter(isPersonal);
  held.unknown = [...new Set([...held.unknown, ...personal])];
}

function verdictOf(ours: Held, theirs: Seen | null, differs: readonly string[]): Verdict {
  if (!theirs) return 'unknown';
  if (theirs.absent || differs.length > 0) return 'differs';
  // What we did not ask for is no difference, whatever it held.
  const isBlind = ours.unknown.length > 0 || theirs.unknown.some((field) => field in ours.fields);
  return isBlind ? 'unknown' : 'same';
}
