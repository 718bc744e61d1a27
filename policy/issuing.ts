import { z } from 'zod';
import { allowed, changed, isSo, type Rule, termChanged } from './command_rule.ts';
import { envelope, withoutEnvelope } from './envelope.ts';
import { givenId, reason, rfc3339 } from './field_types.ts';
import { asDue, closedWindow, unmarked } from './life.ts';
import { only } from './record.ts';
import { APPROVED, DECLINED, ISSUING } from './state.ts';
import { replanned } from './window_plan.ts';

export const approveSchema = only({
  ...envelope(),
  policy_code: givenId(),
  effective_time: rfc3339().optional(),
  expired_time: rfc3339().optional(),
  policy_periods: z.array(z.number().int()).optional(),
});

export const declineSchema = only({ ...envelope(), reason: reason() });

export const approve: Rule<typeof approveSchema> = (life, command, now) => {
  const fields = withoutEnvelope(command);
  const { policy } = life.record;
  if (policy.policy_state === APPROVED && isSo(policy, fields)) return life;
  allowed(asDue(life, now), 'approve', ISSUING);
  const approved = termChanged(life, { ...fields, policy_state: APPROVED });
  return unmarked(replanned(life, approved), 'issuing-overdue', 'issuing-past-expiry');
};

export const decline: Rule<typeof declineSchema> = (life, _message, now) => {
  if (life.record.policy.policy_state === DECLINED) return life;
  allowed(asDue(life, now), 'decline', ISSUING);
  const { cancellation: _dropped, ...rest } = changed(life, { policy_state: DECLINED });
  return unmarked({ ...rest, window: closedWindow(life) }, 'issuing-overdue', 'issuing-past-expiry');
};
