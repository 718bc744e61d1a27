import { DAY, ms } from './duration.ts';
import { LIFETIME } from './fields.ts';
import { WINDOW_LIMIT } from './policy_rules.ts';
import type { Policy, PolicyFields, PolicyRecord } from './record.ts';
import { APPROVED, CAUSES, type Cause, DECLINED, INACTIVE, ISSUING } from './state.ts';
import { instantOf, wireTime, withinYears } from './time.ts';

export { CAUSES, type Cause } from './state.ts';

/**
 * Where the renewal window stands. `none`: the record does not support renewal. `given`: the record names the times,
 * they are sent from the start. `planned`: a timer will open it. `open`, `closed`: a timer, a surrender or another
 * policy's taking over did.
 */
export type Window = 'none' | 'given' | 'planned' | 'open' | 'closed';

/** What the merchant wants of a policy, and where it stands by now. Changed by commands and due times only. */
export interface Life {
  /** The record with every accepted change; `record.policy.policy_state` is the state that the merchant wants. */
  record: PolicyRecord;
  /** When the policy was opened with us, in ms since the epoch. */
  opened_at: number;
  window: Window;
  /** WeChat Pay was given a window once: from then on the times it holds must be those of the present term. */
  window_sent: boolean;
  /** WeChat Pay has the policy, or had it once: it is not uploaded any more. */
  known_there?: true;
  /** A cancellation whose time has not come. */
  cancellation?: { cause: Cause; at: number };
  /** Why the policy is INACTIVE, and since when, in ms since the epoch. */
  inactive?: { cause: Cause | 'EXPIRY' | 'GIVEN'; since: number; business_date?: string };
  /** The `expired_time` past which WeChat Pay has the policy in force, accepted as ours: it does not end cover. */
  expiry_waived?: string;
  /** The number of the policy that continues this one. */
  continued_as?: string;
  /** Watched and compared, never written. */
  observed?: true;
  /** On hold: nothing is sent, and due times wait, since then, in ms since the epoch. */
  hold?: { since: number };
  /** What a person should look at, by the name of a rule. A due time that has marked it once does not come again. */
  attention: string[];
}

/** The life of a record just opened. */
export function openedLife(record: PolicyRecord, now: number): Life {
  const inactive = record.policy.policy_state === INACTIVE ? { cause: 'GIVEN' as const, since: now } : undefined;
  const planned = plannedWindow(record.policy);
  // An offer that is made of what is declined already would be closed by nobody.
  const window = planned === 'given' && record.policy.policy_state === DECLINED ? 'closed' : planned;
  return {
    record,
    opened_at: now,
    window,
    window_sent: window === 'given',
    attention: [],
    ...(record.observe && { observed: true }),
    ...(inactive && { inactive }),
  };
}

/**
 * How the window of a new term begins. A record without renewal, or with cover for life, has none; one that names times for
 * cover for life all the same, or takes them over from a term, has them closed.
 */
export function plannedWindow(policy: Policy): Window {
  const given = Boolean(policy.start_renewal_time || policy.end_renewal_time);
  if (policy.support_renewal !== true) return 'none';
  if (policy.coverage_term_type === LIFETIME) return given ? 'closed' : 'none';
  return given ? 'given' : 'planned';
}

/** `expired_time` in ms since the epoch; `undefined` for cover for life. */
export function expiryOf(policy: Policy): number | undefined {
  return policy.coverage_term_type === LIFETIME ? undefined : instantOf(policy.expired_time);
}

/** Whether WeChat Pay was given a window that it still holds. */
function windowIsThere({ window, window_sent }: Life): boolean {
  return window === 'open' || window === 'given' || (window === 'planned' && window_sent);
}

/** Where the window stands once it has lost its sense: one that WeChat Pay was given closes, an accepted stranger's, too. */
export function closedWindow(life: Life): Window {
  const isStrange = life.window === 'none' && life.window_sent;
  return windowIsThere(life) || isStrange ? 'closed' : life.window;
}

/** Whether nobody renews the policy: it was surrendered, or declined, or another one continues it. */
export function offersNoRenewal({ record, inactive, continued_as }: Life): boolean {
  const { policy_state } = record.policy;
  const surrendered = policy_state === INACTIVE && CAUSES.some((cause) => cause === inactive?.cause);
  return surrendered || policy_state === DECLINED || continued_as !== undefined;
}

/**
 * The window's times in ms since the epoch, as given or as computed from the end of cover; start after effective. A half
 * that is computed, and would make a window that ends before it starts, goes as far as WeChat Pay allows.
 */
export function windowTimes(record: PolicyRecord): { opens: number; closes: number } | undefined {
  const expires = expiryOf(record.policy);
  if (expires === undefined) return undefined;
  const earliest = (instantOf(record.policy.effective_time) ?? 0) + 1000;
  const [start, end] = [instantOf(record.policy.start_renewal_time), instantOf(record.policy.end_renewal_time)];
  const opens = start ?? withinYears(Math.max(expires - ms(record.renewal.opens_before), earliest));
  const closes = end ?? withinYears(expires + ms(record.renewal.closes_after));
  if (opens < closes) return { opens, closes };
  return {
    opens: start ?? withinYears(Math.max(expires - ms(WINDOW_LIMIT), earliest)),
    closes: end ?? withinYears(expires + ms(WINDOW_LIMIT)),
  };
}

/**
 * What WeChat Pay should hold now: the record, and the window as it stands, both its times. Before a planned window
 * opens its times are not sent, but where WeChat Pay holds those of a former term, they are replaced at once: left as
 * they are, they would offer a renewal that has already happened.
 */
export function heldPolicy(life: Life): Policy {
  const policy = life.record.policy;
  const times = windowTimes(life.record);
  if (life.window === 'closed') {
    const { start_renewal_time: _start, end_renewal_time: _end, ...rest } = policy;
    return { ...rest, support_renewal: false };
  }
  if (!times || !windowIsThere(life)) return policy;
  return { ...policy, start_renewal_time: wireTime(times.opens), end_renewal_time: wireTime(times.closes) };
}

export type DueKind =
  | 'issuing-overdue'
  | 'issuing-past-expiry'
  | 'cancellation'
  | 'expiry'
  | 'window-opens'
  | 'window-closes'
  | 'end';

export interface Due {
  what: DueKind;
  /** In ms since the epoch. */
  at: number;
}

/** How long an INACTIVE policy can be reinstated before its life ends: 30 days, after a lapse two years. */
export function reinstatementWithin(life: Life): number {
  const given = life.record.reinstatement_within;
  if (given !== undefined) return ms(given);
  return (life.inactive?.cause === 'LAPSE' ? 730 : 30) * DAY;
}

/** Everything that will come due of itself, earliest first; nothing while the policy is on hold. */
export function dueTimes(life: Life): Due[] {
  if (life.hold) return [];
  const state = life.record.policy.policy_state;
  const expires = expiryOf(life.record.policy);
  const times = windowTimes(life.record);
  const due: Due[] = [];
  const add = (what: DueKind, at: number | undefined): void => {
    if (at !== undefined) due.push({ what, at });
  };
  if (state === ISSUING) {
    if (!life.attention.includes('issuing-overdue'))
      add('issuing-overdue', life.opened_at + ms(life.record.issuing_alert_after));
    if (!life.attention.includes('issuing-past-expiry')) add('issuing-past-expiry', expires);
  }
  if (state === APPROVED) {
    if (life.expiry_waived !== life.record.policy.expired_time) add('expiry', expires);
    if (life.window === 'planned') add('window-opens', times?.opens);
  }
  if (life.cancellation && (state === ISSUING || state === APPROVED)) add('cancellation', life.cancellation.at);
  // Times that WeChat Pay has of a window to come are an offer, too, once the policy has ended and nobody opens it any more.
  const offered = life.window === 'open' || life.window === 'given' || (state === INACTIVE && windowIsThere(life));
  // One of cover for life has no end of its own, and none later than the policy's.
  if (offered) add('window-closes', times?.closes ?? life.inactive?.since);
  if (state === INACTIVE && life.inactive && !offered) add('end', life.inactive.since + reinstatementWithin(life));
  return due.sort((a, b) => a.at - b.at || ORDER.indexOf(a.what) - ORDER.indexOf(b.what));
}

// Due in the same millisecond: a cancellation gives the policy's end its cause, before the expiry would.
const ORDER: readonly DueKind[] = [
  'cancellation',
  'expiry',
  'window-opens',
  'window-closes',
  'issuing-past-expiry',
  'issuing-overdue',
  'end',
];

/** The life after what came due; `end` changes nothing, the workflow completes once all is confirmed. */
export function afterDue(life: Life, due: Due): Life {
  switch (due.what) {
    case 'issuing-overdue':
    case 'issuing-past-expiry':
      return marked(life, due.what);
    case 'cancellation':
      return cancelled(life, life.cancellation?.cause ?? 'SURRENDER', due.at);
    case 'expiry': {
      // A cancellation to come after the end of cover has nothing left to end, nor may it end the next term.
      const { cancellation: _pointless, ...rest } = life;
      return withPolicy({ ...rest, inactive: { cause: 'EXPIRY', since: due.at } }, { policy_state: INACTIVE });
    }
    case 'window-opens':
      return { ...life, window: 'open', window_sent: true };
    case 'window-closes':
      return { ...life, window: 'closed' };
    case 'end':
      return life;
  }
}

/** The life with everything applied that is due by `now`, and what that was, in its order. */
export function settleDue(life: Life, now: number): { life: Life; applied: Due[] } {
  const applied: Due[] = [];
  for (;;) {
    const due = dueTimes(life).find(({ what, at }) => what !== 'end' && at <= now);
    if (!due) return { life, applied };
    life = afterDue(life, due);
    applied.push(due);
  }
}

/** The life as all that has come due leaves it: while it is on hold, too, a date that has passed has come. */
export function asDue(life: Life, now: number): Life {
  const { hold, ...rest } = life;
  if (!hold) return life;
  const { life: come, applied } = settleDue(rest, now);
  return applied.length > 0 ? { ...come, hold } : life;
}

/** A policy that ends before its time; a window that WeChat Pay was given closes in the same PATCH. */
export function cancelled(life: Life, cause: Cause, since: number, businessDate?: string): Life {
  const { cancellation: _taken, ...rest } = life;
  const window = closedWindow(life);
  const inactive = { cause, since, ...(businessDate !== undefined && { business_date: businessDate }) };
  return withPolicy({ ...rest, window, inactive }, { policy_state: INACTIVE });
}

/**
 * The life once WeChat Pay shows a window that it was given by somebody else. Its times give way to ours; where a window has no
 * sense any more, it closes.
 */
export function withWindowFound(life: Life): Life {
  const senseless = offersNoRenewal(life) || life.record.policy.coverage_term_type === LIFETIME;
  return { ...life, window_sent: true, ...(senseless && { window: 'closed' }) };
}

/** Marks the life for a person's attention, once. */
export function marked(life: Life, mark: string): Life {
  return life.attention.includes(mark) ? life : { ...life, attention: [...life.attention, mark] };
}

/** The life without a mark that no longer applies. */
export function unmarked(life: Life, ...marks: string[]): Life {
  return { ...life, attention: life.attention.filter((mark) => !marks.includes(mark)) };
}

/** The life with some fields of its policy replaced. */
export function withPolicy(life: Life, fields: PolicyFields): Life {
  return { ...life, record: { ...life.record, policy: { ...life.record.policy, ...fields } } };
}
