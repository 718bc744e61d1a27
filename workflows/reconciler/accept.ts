import { adopted } from '../../policy/adoption.ts';
import { comparable, sameValue } from '../../policy/difference.ts';
import type { Life } from '../../policy/life.ts';
import type { PolicyFields } from '../../policy/record.ts';
import { DECLINED, INACTIVE } from '../../policy/state.ts';
import { RuleViolation, refuse } from '../../policy/violation.ts';
import { change } from './desired.ts';
import type { Position } from './position.ts';
import { settle } from './settled.ts';
import { URGENCY } from './standing.ts';

const WINDOW_TIMES: readonly string[] = ['start_renewal_time', 'end_renewal_time'];

/**
 * WeChat Pay's record becomes ours, but where a change of ours is still on its way. What it never took and the record cannot do
 * without is left different, and so is a window that breaks our rules. Where it has none, a policy that is over, with us, is over.
 * False when it is ours already.
 * @throws {RuleViolation} `nothing-to-accept` where WeChat Pay has no record of a policy that is not over, `unknown-outcome`
 * while nobody knows what it holds, another rule where its record breaks it.
 */
export function accept(position: Position, now: number): boolean {
  const standing = position.standing;
  if (standing.must_query)
    refuse('unknown-outcome', 'accept: it is not known what WeChat Pay holds now; accept once it has answered');
  if (standing.absent || !standing.confirmed) return acceptAbsence(position, now);
  const { life, kept } = acceptable(position, standing.confirmed, position.foreign, now);
  // What nobody can read, and WeChat Pay refused to replace, stays as it is there.
  const blind = standing.unreadable.filter((field) => position.isRefused(field));
  const left = [...blind, ...kept];
  if (life === position.life && left.length === 0) return leave(position, standing.confirmed);
  const accepted = [...position.accepted, ...kept];
  standing.reported = {};
  standing.drifts = {};
  standing.changed = standing.changed.filter((field) => !left.includes(field));
  for (const field of left) delete standing.refused[field];
  change(position, life, URGENCY.user, now);
  for (const field of accepted) standing.reported[field] = comparable(field, standing.confirmed[field]);
  standing.accepted = accepted;
  leave(position, standing.confirmed);
  return true;
}

/** A policy that is over with us, and that WeChat Pay has not, has nothing left to send, and can end. */
function acceptAbsence(position: Position, now: number): boolean {
  const { standing } = position;
  const { policy_state } = position.held;
  if (policy_state !== INACTIVE && policy_state !== DECLINED)
    refuse('nothing-to-accept', 'accept: WeChat Pay holds no record of this policy; cancel or decline it, then accept');
  if (standing.absence_accepted) return false;
  change(position, position.life, URGENCY.user, now);
  Object.assign(standing, { absence_accepted: true, must_query: false, block: null, reported: {}, changed: [] });
  settle(position);
  return true;
}

/**
 * The life with these fields as WeChat Pay holds them, but for what breaks a rule of the record and cannot be made right there: what
 * was refused, and a window.
 */
function acceptable(
  position: Position,
  confirmed: PolicyFields,
  fields: readonly string[],
  now: number,
): { life: Life; kept: string[] } {
  try {
    return { life: adopted(position.life, confirmed, fields, now), kept: [] };
  } catch (error) {
    const broken = error instanceof RuleViolation ? error.violations.map(({ field }) => field) : [];
    const isLeft = (field: string): boolean =>
      WINDOW_TIMES.includes(field) || (field !== 'policy_state' && position.isRefused(field));
    const kept = fields.filter((field) => broken.includes(field) && isLeft(field));
    if (kept.length === 0) throw error;
    const others = fields.filter((field) => !kept.includes(field));
    const rest = acceptable(position, confirmed, others, now);
    return { life: rest.life, kept: [...kept, ...rest.kept] };
  }
}

/** Attempts that may still land are no reason to send again what WeChat Pay holds as we want it. True if one was. */
function leave(position: Position, confirmed: PolicyFields): boolean {
  const { held, standing } = position;
  const before = position.carriedAgain.length;
  standing.unconfirmed = standing.unconfirmed.map(({ overtaken = [], ...attempt }) => {
    const left = Object.keys(attempt.fields).filter((field) => sameValue(field, held[field], confirmed[field]));
    return { ...attempt, overtaken: [...new Set([...overtaken, ...left])] };
  });
  settle(position);
  return position.carriedAgain.length < before;
}
