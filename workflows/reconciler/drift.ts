import { adopted } from '../../policy/adoption.ts';
import { comparable, type Difference, sameValue } from '../../policy/difference.ts';
import { DAY } from '../../policy/duration.ts';
import type { Discrepancy } from '../../policy/entries.ts';
import { fitting } from '../../policy/fitting.ts';
import { type Life, marked, unmarked, withWindowFound } from '../../policy/life.ts';
import type { PolicyFields } from '../../policy/record.ts';
import { isTransition } from '../../policy/state.ts';
import { RuleViolation } from '../../policy/violation.ts';
import { isForward, type Position } from './position.ts';
import { CONTESTED } from './settled.ts';
import type { RemoteAnswer } from './standing.ts';

/** A field that drifts so often within this time is CONTESTED: somebody else writes it, and pushing would go on for ever. */
const MOST_DRIFTS = 3;
const DRIFTS_COUNT_FOR = 7 * DAY;
/** Discrepancies kept until they are known to be in MongoDB. */
const MOST_DISCREPANCIES = 50;

function withoutValues({ ours: _ours, theirs: _theirs, ...discrepancy }: Discrepancy): Discrepancy {
  return { ...discrepancy, ours: null };
}

/** Fields that no key opens any more, or again: an alert, never drift. */
export function noteUnreadable(position: Position, unreadable: readonly string[], now: number): void {
  for (const field of unreadable) {
    if (!position.standing.unreadable.includes(field))
      noteDiscrepancy(position, { field, ours: undefined }, 'unreadable', 'reported', now);
    position.life = marked(position.life, `unreadable:${field}`);
  }
  const readable = position.standing.unreadable.filter((field) => !unreadable.includes(field));
  position.life = unmarked(position.life, ...readable.map((field) => `unreadable:${field}`));
}

/**
 * A window that somebody else has given WeChat Pay, say before the policy was ours, is one that it was given: its times give
 * way to ours, and it closes with a surrender.
 * @returns the fields of it that we said nothing about so far, as we last knew them: empty
 */
export function noteWindow(position: Position, { start_renewal_time, end_renewal_time }: PolicyFields): PolicyFields {
  const { window, window_sent } = position.life;
  if (window !== 'planned' || window_sent || !(start_renewal_time || end_renewal_time)) return {};
  position.life = withWindowFound(position.life);
  return { start_renewal_time: undefined, end_renewal_time: undefined };
}

/** The first answer of a life: what became of the record as opened. What was changed since is on its way. */
export function adopt(position: Position, differing: Difference[], now: number): void {
  const found = differing.filter((difference) => !position.leaves(difference));
  if (found.length === 0) return;
  const { record, observed } = position.life;
  const adopt = observed ? 'report' : record.adopt;
  const confirmed = position.standing.confirmed ?? {};
  if (adopt === 'remote') {
    const life = adoptable(
      position,
      confirmed,
      found.map(({ field }) => field),
      now,
    );
    if (life) {
      for (const difference of found) noteDiscrepancy(position, difference, 'adopt', 'adopted', now);
      position.life = life;
      position.standing.revision += 1;
      return;
    }
  }
  for (const difference of found) {
    const state = difference.field === 'policy_state';
    const push = adopt === 'push' && (!state || isForward(difference.theirs, position.held.policy_state));
    if (!push) report(position, difference, 'adopt', now);
  }
}

function adoptable(position: Position, remote: PolicyFields, fields: string[], now: number): Life | undefined {
  try {
    return adopted(position.life, remote, fields, now);
  } catch (error) {
    // A record of WeChat Pay's that breaks the rules can't be ours; it is reported like any difference.
    if (error instanceof RuleViolation) return undefined;
    throw error;
  }
}

/** A difference in a later answer: not taken, still on its way, or drift. */
export function judge(
  position: Position,
  difference: Difference,
  before: RemoteAnswer | null,
  sent: PolicyFields | undefined,
  now: number,
): void {
  const { field, ours, theirs } = difference;
  const standing = position.standing;
  if (sent && field in sent && sameValue(field, sent[field], ours)) {
    standing.refused[field] = comparable(field, ours);
    const fields = Object.keys(standing.refused).join(', ');
    const message = `WeChat Pay accepted the update without taking ${fields}`;
    standing.block = { code: 'NOT_TAKEN', message, at: new Date(now).toISOString() };
    noteDiscrepancy(position, difference, 'not-taken', 'reported', now);
    return;
  }
  if (position.leaves(difference) || standing.reported[field] === comparable(field, theirs)) return;
  const state = field === 'policy_state';
  // It may be a later change of ours, though it was known before: what is ours was changed since, and leaves.
  if (standing.lagging) {
    report(position, difference, state ? 'state' : 'drift', now);
    return;
  }
  const known = before !== null && sameValue(field, before.policy[field], theirs);
  const attempted = standing.unconfirmed.some(
    ({ fields }) => field in fields && sameValue(field, fields[field], theirs),
  );
  // The call was superseded while it ran: what it carried is ours too, and the newer value follows it.
  const carried = sent !== undefined && field in sent && sameValue(field, sent[field], theirs);
  if (known || attempted || carried) return;
  const { record, observed } = position.life;
  const { on_drift, on_state_drift } = record.verification;
  // A state that was changed since, and does not follow from theirs, is none that was there and could be restored.
  const mayHeal = !standing.changed.includes(field) && isTransition(theirs, position.held.policy_state);
  const heal = state ? on_state_drift === 'heal' && mayHeal : on_drift === 'heal';
  // What was left for a person stays so, whatever WeChat Pay makes of it.
  if (!heal || observed || field in standing.reported) {
    report(position, difference, state ? 'state' : 'drift', now);
    return;
  }
  if (contested(position, field, now)) {
    position.life = marked(position.life, `${CONTESTED}${field}`);
    report(position, difference, state ? 'state' : 'drift', now, 'contested');
    return;
  }
  noteDiscrepancy(position, difference, state ? 'state' : 'drift', 'healing', now);
  standing.waiting_since ??= now;
}

/** Counts a drift; true for the third within a week. */
export function contested(position: Position, field: string, now: number): boolean {
  const { drifts } = position.standing;
  const late = [...(drifts[field] ?? []), now].filter((at) => now - at < DRIFTS_COUNT_FOR);
  drifts[field] = late.slice(-MOST_DRIFTS);
  return late.length >= MOST_DRIFTS;
}

function report(
  position: Position,
  difference: Difference,
  kind: Discrepancy['kind'],
  now: number,
  became: 'reported' | 'contested' = 'reported',
): void {
  const { field, theirs } = difference;
  const { standing } = position;
  standing.reported[field] = comparable(field, theirs);
  standing.accepted = position.accepted.filter((one) => one !== field);
  noteDiscrepancy(position, difference, kind, became, now);
}

export function noteDiscrepancy(
  position: Position,
  difference: Difference,
  kind: Discrepancy['kind'],
  became: Discrepancy['became'],
  now: number,
): void {
  const standing = position.standing;
  standing.found += 1;
  const id = `${standing.revision}.${standing.found}`;
  const { field, ours, theirs } = difference;
  standing.discrepancies.push({ id, field, ours, theirs, found_at: now, kind, became });
  standing.discrepancies = fitting(standing.discrepancies.slice(-MOST_DISCREPANCIES), withoutValues);
}
