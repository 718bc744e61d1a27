import type { z } from 'zod';
import { sameWish } from './difference.ts';
import { type Life, withPolicy } from './life.ts';
import { type Policy, type PolicyFields, policySchema } from './record.ts';
import { type PolicyState, shortState } from './state.ts';
import { parse, refuse } from './violation.ts';
import { ofTerm } from './window_plan.ts';

/** Whether WeChat Pay holds a value of the field, or may. */
export type MayHold = (field: string) => boolean;
/** The life after a command; the very same object where the command finds everything already so. */
export type Rule<Schema extends z.ZodType> = (
  life: Life,
  command: z.output<Schema>,
  now: number,
  there: MayHold,
) => Life;

/** Refuses a command that the state does not allow, in words that say which states do. */
export function allowed(life: Life, command: string, ...states: PolicyState[]): void {
  const state = life.record.policy.policy_state;
  if (states.includes(state)) return;
  const those = states.map(shortState).join(' or ');
  refuse('illegal-transition', `${command}: expected a policy that is ${those}, found ${shortState(state)}`);
}

/** The life with fields changed, the whole policy checked again; the same object when they change nothing. */
export function changed(life: Life, fields: PolicyFields): Life {
  const policy = life.record.policy;
  if (isSo(policy, fields)) return life;
  return withPolicy(life, parse(policySchema, { ...policy, ...defined(fields) }));
}

/** The same for fields of its term: a window that was given, and does not fit into the term any more, is planned anew. */
export function termChanged(life: Life, fields: PolicyFields): Life {
  const policy = ofTerm({ ...life.record.policy, ...defined(fields) });
  return { ...life, record: { ...life.record, policy } };
}

/** @throws {RuleViolation} always, in the words of `what`: the number of the policy goes with its end. */
export function refuseWithoutCode(what: string): never {
  refuse('policy-code', `${what}: expected policy_code: WeChat Pay takes INACTIVE only with one`, 'policy_code');
}

/** Whether the policy has every field that is given already. */
export function isSo(policy: Policy, fields: PolicyFields): boolean {
  return Object.entries(defined(fields)).every(([field, value]) => sameWish(field, value, policy[field]));
}

/** Refuses a term whose cover has ended already: it would expire at once. */
export function inForce(expires: number | undefined, given: string | undefined, command: string, now: number): void {
  if (expires !== undefined && expires <= now)
    refuse('expired', `${command}: expected an expired_time to come, found ${given}`, 'expired_time');
}

/** The fields that are given. */
export function defined<T extends object>(fields: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [Key in keyof T]?: Exclude<T[Key], undefined> };
}
