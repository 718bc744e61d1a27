import type { z } from 'zod';
import { LIFETIME, POLICY_FIELDS } from './fields.ts';
import type { RuleName } from './rules.ts';
import { APPROVED } from './state.ts';
import { isWellFormed } from './text.ts';
import { instantOf } from './time.ts';

/** The fields that the rules join. */
interface Joined {
  effective_time?: string;
  expired_time?: string;
  coverage_term_type?: string;
  start_renewal_time?: string;
  end_renewal_time?: string;
  policy_type?: string;
  car_number?: string;
  pet_name?: string;
  policy_state?: string;
  policy_code?: string;
}

/** The furthest that a renewal window may reach from the end of cover, either way. */
export const WINDOW_LIMIT = '60d';
const WINDOW_LIMIT_MS = 60 * 24 * 60 * 60 * 1000;

// Many times what any policy needs, and little enough that Temporal and MongoDB take it whole with its history.
const MOST_CHARACTERS = 16_384;

/** Of the fields as a whole, those that the contract has not too: whole Unicode, numbers that JSON can write, not too much. */
export function fits(fields: object, context: z.RefinementCtx): void {
  const broken = Object.entries(fields).find(([name, value]) => !isWellFormed(name) || !isWellFormed(value));
  // A text of the contract's has its own check, which says the same.
  if (broken && !Object.hasOwn(POLICY_FIELDS, broken[0]))
    context.addIssue({
      code: 'custom',
      path: [broken[0]],
      params: { rule: 'ill-formed' satisfies RuleName },
      message:
        'expected text in Unicode and finite numbers, has half of a surrogate pair, NUL, or a number beyond 1.8e308',
    });
  const { length } = JSON.stringify(fields);
  if (length <= MOST_CHARACTERS) return;
  const message = `expected at most ${MOST_CHARACTERS} characters of JSON, has ${length}`;
  context.addIssue({ code: 'custom', params: { rule: 'too-large' satisfies RuleName }, message });
}

/** The rules of a policy as a whole. */
export function asWhole(policy: Joined, context: z.RefinementCtx): void {
  fits(policy, context);
  joined(policy, context);
}

function joined(policy: Joined, context: z.RefinementCtx): void {
  const broken = (field: string, rule: RuleName, message: string): void => {
    context.addIssue({ code: 'custom', path: [field], params: { rule }, message });
  };
  const effective = instantOf(policy.effective_time);
  const expired = instantOf(policy.expired_time);
  if (policy.expired_time === undefined && policy.coverage_term_type !== LIFETIME)
    broken('expired_time', 'missing', `expected a time, or coverage_term_type ${LIFETIME}`);
  if (effective !== undefined && expired !== undefined && expired <= effective)
    broken('expired_time', 'expired-after-effective', `expected a time after effective_time ${policy.effective_time}`);
  if (policy.policy_type === 'POLICY_TYPE_CAR' && !policy.car_number)
    broken('car_number', 'car-number', 'expected with POLICY_TYPE_CAR');
  if (policy.policy_type === 'POLICY_TYPE_PET' && !policy.pet_name)
    broken('pet_name', 'pet-name', 'expected with POLICY_TYPE_PET');
  if (policy.policy_state === APPROVED && !policy.policy_code)
    broken('policy_code', 'policy-code', `expected with ${APPROVED}`);
  for (const fault of windowFaults(policy)) broken(fault.field, 'renewal-window', fault.message);
}

/** What a JSON Schema can say of the rules that join several fields; `joined` says it to users. */
export const JOINED = [
  needed({ policy_type: 'POLICY_TYPE_CAR' }, 'car_number'),
  needed({ policy_type: 'POLICY_TYPE_PET' }, 'pet_name'),
  needed({ policy_state: APPROVED }, 'policy_code'),
  { anyOf: [{ required: ['expired_time'] }, having({ coverage_term_type: LIFETIME })] },
];

function having(constants: Record<string, string>): object {
  const properties = Object.entries(constants).map(([field, value]) => [field, { const: value }]);
  return { properties: Object.fromEntries(properties), required: Object.keys(constants) };
}

function needed(where: Record<string, string>, field: string): object {
  // biome-ignore lint/suspicious/noThenProperty: a word of JSON Schema.
  return { if: having(where), then: { properties: { [field]: { minLength: 1 } }, required: [field] } };
}

function windowFaults(policy: Joined): { field: string; message: string }[] {
  const faults: { field: string; message: string }[] = [];
  const [effective, expired] = [instantOf(policy.effective_time), instantOf(policy.expired_time)];
  const [start, end] = [instantOf(policy.start_renewal_time), instantOf(policy.end_renewal_time)];
  for (const [field, at] of [
    ['start_renewal_time', start],
    ['end_renewal_time', end],
  ] as const) {
    if (at !== undefined && expired !== undefined && Math.abs(at - expired) > WINDOW_LIMIT_MS)
      faults.push({ field, message: `expected within ${WINDOW_LIMIT} of expired_time ${policy.expired_time}` });
  }
  if (start !== undefined && effective !== undefined && start <= effective)
    faults.push({ field: 'start_renewal_time', message: `expected after effective_time ${policy.effective_time}` });
  // The other half is computed, and has to find a place.
  if (start !== undefined && end === undefined && expired !== undefined && start >= expired + WINDOW_LIMIT_MS)
    faults.push({
      field: 'start_renewal_time',
      message: `expected before the last day of the ${WINDOW_LIMIT} after expired_time`,
    });
  if (start === undefined && end !== undefined && effective !== undefined && end <= effective + 1000)
    faults.push({ field: 'end_renewal_time', message: `expected after effective_time ${policy.effective_time}` });
  if (start !== undefined && end !== undefined && end <= start)
    faults.push({
      field: 'end_renewal_time',
      message: `expected after start_renewal_time ${policy.start_renewal_time}`,
    });
  return faults;
}
