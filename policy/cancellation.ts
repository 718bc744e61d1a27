import { z } from 'zod';
import { allowed, changed, inForce, isSo, type Rule, refuseWithoutCode, termChanged } from './command_rule.ts';
import { envelope } from './envelope.ts';
import { givenId, reason, rfc3339 } from './field_types.ts';
import { asDue, cancelled, closedWindow, expiryOf, type Life, unmarked } from './life.ts';
import { only } from './record.ts';
import { APPROVED, CAUSES, type Cause, INACTIVE, ISSUING } from './state.ts';
import { instantOf } from './time.ts';
import { refuse } from './violation.ts';
import { plannedAnew } from './window_plan.ts';

export const cancelSchema = only({
  ...envelope(),
  cause: z.enum(CAUSES).default('SURRENDER'),
  reason: reason().optional(),
  at: rfc3339().optional(),
  policy_code: givenId().optional(),
});

export const withdrawSchema = only({ ...envelope() });

export const reinstateSchema = only({ ...envelope(), expired_time: rfc3339().optional(), reason: reason() });

export const cancel: Rule<typeof cancelSchema> = (life, { cause, at, policy_code }, now) => {
  const coded = changed(life, { policy_code });
  const come = asDue(coded, now);
  if (come.record.policy.policy_state === INACTIVE) return cancelledAfterEnd(come, cause);
  allowed(life, 'cancel', ISSUING, APPROVED);
  if (!coded.record.policy.policy_code) refuseWithoutCode('cancel');
  const when = at === undefined ? now : (instantOf(at) ?? now);
  if (when <= now) return unmarked(cancelled(coded, cause, now, at), 'issuing-overdue', 'issuing-past-expiry');
  if (life.cancellation?.at === when && life.cancellation.cause === cause) return coded;
  return { ...coded, cancellation: { cause, at: when } };
};

/** Nobody renews what was surrendered: a window that outlasts the end of cover closes, and the end is no expiry any more. */
function cancelledAfterEnd(life: Life, cause: Cause): Life {
  const window = closedWindow(life);
  const { inactive } = life;
  if (window === life.window && inactive?.cause !== 'EXPIRY') return life;
  return { ...life, window, ...(inactive && { inactive: { ...inactive, cause } }) };
}

export const withdraw: Rule<typeof withdrawSchema> = (life, _message, now) => {
  if (asDue(life, now).record.policy.policy_state === INACTIVE)
    refuse('illegal-transition', 'withdraw: the policy is INACTIVE already; reinstate it');
  const { cancellation, ...rest } = life;
  return cancellation ? rest : life;
};

export const reinstate: Rule<typeof reinstateSchema> = (life, { expired_time }, now) => {
  const come = asDue(life, now);
  const { policy_state: state } = come.record.policy;
  if (state === APPROVED && isSo(come.record.policy, { expired_time })) return life;
  allowed(come, 'reinstate', INACTIVE);
  const { inactive: _over, ...rest } = termChanged(come, { expired_time, policy_state: APPROVED });
  const policy = rest.record.policy;
  inForce(expiryOf(policy), policy.expired_time, 'reinstate', now);
  return { ...rest, ...plannedAnew(rest, policy) };
};
