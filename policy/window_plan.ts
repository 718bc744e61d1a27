import { sameWish } from './difference.ts';
import { closedWindow, type Life, plannedWindow } from './life.ts';
import type { Policy } from './record.ts';
import { INACTIVE } from './state.ts';

/** Fields that the renewal window depends on. */
export const WINDOW_FIELDS = [
  'expired_time',
  'support_renewal',
  'start_renewal_time',
  'end_renewal_time',
  'coverage_term_type',
];

/**
 * The window of a term that has changed; whether WeChat Pay holds a window is remembered. It stays closed as long as another
 * policy continues this one, and closes where the term has none any more.
 */
export function plannedAnew(life: Life, policy: Policy): Pick<Life, 'window' | 'window_sent'> {
  const planned = plannedWindow(policy);
  const closes =
    planned === 'none' ? closedWindow(life) === 'closed' : planned === 'closed' || life.continued_as !== undefined;
  const window = closes ? 'closed' : planned;
  return { window, window_sent: life.window_sent || window === 'given' };
}

/** Plans the window anew where a field that it depends on has changed, unless the policy has ended. */
export function replanned(before: Life, after: Life): Life {
  const [was, is] = [before.record.policy, after.record.policy];
  const same = WINDOW_FIELDS.every((field) => sameWish(field, was[field], is[field]));
  const over = is.policy_state === INACTIVE && after.inactive?.cause !== 'EXPIRY';
  if (same || over || after.continued_as) return after;
  const planned = plannedAnew(after, is);
  // After the end of cover no timer opens a window, and what WeChat Pay is given has to be closed by one.
  const opens = is.policy_state === INACTIVE && planned.window === 'planned';
  return { ...after, ...planned, ...(opens && { window: 'open', window_sent: true }) };
}
