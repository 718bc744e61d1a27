import { z } from 'zod';
import { sameWish } from './difference.ts';
import { closedWindow, type Life, offersNoRenewal, plannedWindow } from './life.ts';
import { type Policy, type PolicyFields, policySchema } from './record.ts';
import { INACTIVE } from './state.ts';
import { parse } from './violation.ts';

/** Fields that the renewal window depends on. */
export const WINDOW_FIELDS = [
  'expired_time',
  'support_renewal',
  'start_renewal_time',
  'end_renewal_time',
  'coverage_term_type',
];

/** Times of a window, where a record gives them. */
export const WINDOW_TIMES: readonly string[] = ['start_renewal_time', 'end_renewal_time'];

/**
 * The window of a term that has changed; whether WeChat Pay holds a window is remembered. It stays closed as long as nobody
 * renews the policy, and closes where the term has none any more.
 */
export function plannedAnew(life: Life, policy: Policy): Pick<Life, 'window' | 'window_sent'> {
  const planned = plannedWindow(policy);
  const withPolicy = { ...life, record: { ...life.record, policy } };
  // Of what is INACTIVE without having expired, only a window whose times somebody gives is meant.
  const isOver = policy.policy_state === INACTIVE && life.inactive?.cause !== 'EXPIRY' && planned === 'planned';
  const isSenseless = isOver || (policy.support_renewal === true && offersNoRenewal(withPolicy));
  const isGone = planned === 'none' && closedWindow(life) === 'closed';
  const window = isSenseless || isGone ? 'closed' : planned;
  return { window, window_sent: life.window_sent || window === 'given' };
}

/** Plans the window anew where a field that it depends on has changed. */
export function replanned(before: Life, after: Life): Life {
  const [was, is] = [before.record.policy, after.record.policy];
  if (WINDOW_FIELDS.every((field) => sameWish(field, was[field], is[field]))) return after;
  const planned = plannedAnew(after, is);
  // After the end of cover no timer opens a window, and what WeChat Pay is given has to be closed by one.
  const opens = is.policy_state === INACTIVE && planned.window === 'planned';
  return { ...after, ...planned, ...(opens && { window: 'open', window_sent: true }) };
}

/**
 * The policy of another term, checked as a whole. Times of a window that the record gave and that do not fit into the term any
 * more, these of them, are left out: the window is planned anew.
 * @throws {RuleViolation}
 */
export function ofTerm(policy: PolicyFields, times: readonly string[] = WINDOW_TIMES): Policy {
  if (z.safeParse(policySchema, policy).success) return parse(policySchema, policy);
  const timeless = Object.entries(policy).filter(([field]) => !times.includes(field));
  return parse(policySchema, Object.fromEntries(timeless));
}
