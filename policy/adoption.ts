import { z } from 'zod';
import { defined, refuseWithoutCode } from './command_rule.ts';
import { differences } from './difference.ts';
import { TIME_FIELDS } from './fields.ts';
import { dueTimes, expiryOf, heldPolicy, type Life, type Window } from './life.ts';
import { type Policy, type PolicyFields, policySchema } from './record.ts';
import { APPROVED, INACTIVE, ISSUING } from './state.ts';
import { toWireTime } from './time.ts';
import { ofTerm, plannedAnew, replanned, WINDOW_FIELDS, WINDOW_TIMES } from './window_plan.ts';

/**
 * The life after WeChat Pay's record was made ours in these fields: each that it holds otherwise takes its value, the
 * state too; one that it does not hold is given up.
 * @throws {RuleViolation} when the result would break a rule of the record.
 */
export function adopted(life: Life, remote: PolicyFields, fields: readonly string[], now: number): Life {
  const found = differences(heldPolicy(life), remote).filter(({ field }) => fields.includes(field));
  if (found.length === 0) return life;
  const policy: Record<string, unknown> = { ...life.record.policy };
  for (const { field, theirs } of found) {
    if (theirs === undefined) delete policy[field];
    else policy[field] = TIME_FIELDS.has(field) && typeof theirs === 'string' ? toWireTime(theirs) : theirs;
  }
  // A window that we gave, and that fits into their term no more, is no reason against their term.
  const ours = WINDOW_TIMES.filter((time) => !found.some(({ field }) => field === time));
  const accepted = inState(life, ofTerm(policy as PolicyFields, ours), now);
  codeKept(life, accepted, remote);
  return withWindowThere(life, accepted, { remote, fields }, now);
}

/** The life with the policy as accepted. A cancellation to come stays for as long as there is cover that it can end. */
function inState(life: Life, policy: Policy, now: number): Life {
  const { inactive, cancellation, expiry_waived: _former, ...rest } = life;
  const { policy_state: state, expired_time } = policy;
  const waived =
    state === APPROVED && expired_time !== undefined && (expiryOf(policy) ?? Number.POSITIVE_INFINITY) <= now;
  const theirs = state === INACTIVE ? ({ cause: 'GIVEN', since: now } as const) : undefined;
  const over = state === life.record.policy.policy_state ? inactive : theirs;
  return {
    ...rest,
    record: { ...life.record, policy },
    ...(over && { inactive: over }),
    ...(cancellation && (state === ISSUING || state === APPROVED) && { cancellation }),
    ...(waived && { expiry_waived: expired_time }),
  };
}

/** Refuses to give up the number that goes with INACTIVE, where that is still to be sent. */
function codeKept(before: Life, after: Life, remote: PolicyFields): void {
  const { policy_state, policy_code } = after.record.policy;
  const isToEnd = after.cancellation !== undefined || (policy_state === INACTIVE && remote.policy_state !== INACTIVE);
  if (isToEnd && before.record.policy.policy_code && !policy_code) refuseWithoutCode('accept');
}

/**
 * The accepted life with a window that asks WeChat Pay for nothing it does not hold, but what was to be sent `before`, and
 * that no time already past opens or closes: the one that our rules plan where it is such, else its own, or none.
 */
function withWindowThere(
  before: Life,
  accepted: Life,
  { remote, fields }: { remote: PolicyFields; fields: readonly string[] },
  now: number,
): Life {
  const differing = (life: Life): string[] => differences(heldPolicy(life), remote).map(({ field }) => field);
  const onItsWay = differing(before).filter((field) => !fields.includes(field));
  const fits = (life: Life): boolean =>
    differing(life).every((field) => !WINDOW_FIELDS.includes(field) || onItsWay.includes(field)) &&
    !dueTimes(life).some(({ what, at }) => what.startsWith('window-') && at <= now);
  const { start_renewal_time, end_renewal_time } = remote;
  const there = start_renewal_time !== undefined || end_renewal_time !== undefined;
  const { start_renewal_time: _start, end_renewal_time: _end, ...timeless } = accepted.record.policy;
  const inWindow = (window: Window, policy: Policy = timeless): Life => ({
    ...accepted,
    record: { ...accepted.record, policy },
    window,
    window_sent: there || window === 'given',
  });
  const theirs = z.safeParse(policySchema, { ...timeless, ...defined({ start_renewal_time, end_renewal_time }) });
  const choices = [
    replanned(before, accepted),
    { ...accepted, ...plannedAnew(accepted, accepted.record.policy) },
    inWindow('planned'),
    ...(there && theirs.success ? [inWindow('given', theirs.data)] : []),
    inWindow('closed'),
  ];
  return choices.find(fits) ?? inWindow('none');
}
