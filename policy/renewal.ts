import { z } from 'zod';
import { allowed, defined, inForce, isSo, type Rule } from './command_rule.ts';
import { durationSchema, ms } from './duration.ts';
import { envelope, withoutEnvelope } from './envelope.ts';
import { givenId, rfc3339 } from './field_types.ts';
import { LIFETIME } from './fields.ts';
import { asDue, expiryOf, type Life } from './life.ts';
import { WINDOW_LIMIT } from './policy_rules.ts';
import { only, policySchema } from './record.ts';
import { APPROVED, INACTIVE } from './state.ts';
import { instantOf, wireTime } from './time.ts';
import { parse, refuse } from './violation.ts';
import { plannedAnew } from './window_plan.ts';

const termWindowSchema = only({
  opens_before: durationSchema('1s', WINDOW_LIMIT).optional(),
  closes_after: durationSchema('0s', WINDOW_LIMIT).optional(),
  start_renewal_time: rfc3339().optional(),
  end_renewal_time: rfc3339().optional(),
});
export const renewSchema = z.union([
  only({
    ...envelope(),
    as: z.string().regex(/^[0-9A-Za-z]{1,32}$/, { error: 'expected 1 to 32 letters and digits' }),
  }),
  only({
    ...envelope(),
    expired_time: rfc3339(),
    effective_time: rfc3339().optional(),
    policy_code: givenId().optional(),
    window: termWindowSchema.optional(),
  }),
]);

export const renew: Rule<typeof renewSchema> = (life, command, now) => {
  if ('as' in command) {
    if (life.continued_as === command.as) return life;
    if (command.as === life.record.policy.out_insurance_no)
      refuse('continued-by-itself', 'renew: expected in as the number of another policy, found its own', 'as');
    allowed(life, 'renew', APPROVED, INACTIVE);
    const continued = { ...life, continued_as: command.as };
    return { ...continued, ...plannedAnew(continued, life.record.policy) };
  }
  return renewTerm(life, command, now);
};

function renewTerm(life: Life, command: Exclude<z.output<typeof renewSchema>, { as: string }>, now: number): Life {
  const { window, ...term } = withoutEnvelope(command);
  const { start_renewal_time, end_renewal_time, ...spans } = window ?? {};
  const policy = life.record.policy;
  const given = { start_renewal_time, end_renewal_time };
  const sameWindow = isSo(policy, given) && isPlanned(life, spans);
  if (sameWindow && isSo(policy, term) && policy.policy_state === APPROVED) return life;
  const come = asDue(life, now);
  const expiredByTime = come.record.policy.policy_state === INACTIVE && come.inactive?.cause === 'EXPIRY';
  if (!expiredByTime) allowed(come, 'renew', APPROVED);
  if (policy.coverage_term_type === LIFETIME) refuse('lifetime', 'renew: cover for life has no terms');
  const [until, next] = [expiryOf(policy) ?? 0, instantOf(term.expired_time) ?? 0];
  if (next < until || (next === until && sameWindow))
    refuse('renewal-term', `renew: expected expired_time after ${policy.expired_time}, found ${term.expired_time}`);
  inForce(next, term.expired_time, 'renew', now);
  const { start_renewal_time: _s, end_renewal_time: _n, ...lastTerm } = policy;
  const renewed = parse(policySchema, { ...lastTerm, ...defined({ ...term, ...given }), policy_state: APPROVED });
  const record = { ...life.record, policy: renewed, renewal: { ...life.record.renewal, ...defined(spans) } };
  const { inactive: _over, ...rest } = next === until ? life : nextTerm(life, until);
  return { ...rest, record, ...plannedAnew(rest, renewed) };
}

/** Whether the window is planned by these spans already, where any are given. */
function isPlanned({ record }: Life, { opens_before, closes_after }: Partial<Life['record']['renewal']>): boolean {
  const { policy, renewal } = record;
  const opens =
    opens_before === undefined || (!policy.start_renewal_time && ms(opens_before) === ms(renewal.opens_before));
  return (
    opens && (closes_after === undefined || (!policy.end_renewal_time && ms(closes_after) === ms(renewal.closes_after)))
  );
}

/** The life as it goes into another term: no other policy continues it, and no cancellation of later than the old one ends it. */
function nextTerm(life: Life, until: number): Life {
  const { continued_as: _by, cancellation, ...rest } = life;
  if (cancellation && cancellation.at <= until)
    refuse('cancellation-pending', `renew: a cancellation waits for ${wireTime(cancellation.at)}; withdraw it first`);
  return rest;
}
