// What a merchant may do with a policy, and what WeChat Pay must hold then. Written out a second time on purpose, not
// taken from policy/: a mistake in the rules there has to show here.
import fc from 'fast-check';
import type { PolicyFields, RecordInput } from '../policy/record.ts';
import { APPROVED, DECLINED, INACTIVE, ISSUING } from '../policy/state.ts';

export type Message =
  | { name: 'approve'; policy_code: string }
  | { name: 'decline'; reason: string }
  | { name: 'amend'; fields: PolicyFields }
  | { name: 'cancel' | 'cancelBySignal'; cause: 'SURRENDER' | 'HESITATION' | 'TERMINATED' }
  | { name: 'renew'; expired_time: string }
  | { name: 'reinstate'; reason: string };

export interface Step {
  /** When in the run: at least 0, below 1. */
  at: number;
  message: Message;
  /** `twice`: with one `event_id` at the same time. `again`: once more, later, behind the next command. */
  delivery: 'once' | 'twice' | 'again';
  /** `old`: not above the last that was accepted, where there is one. */
  version: 'none' | 'newer' | 'old';
}

/** One policy of a run: how it begins, and what comes to it, in order. */
export interface Plan {
  record: Pick<RecordInput, 'upload' | 'verification'> & { policy: PolicyFields };
  /** What WeChat Pay holds at first; absent where the record uploads it. */
  held: PolicyFields | undefined;
  steps: Step[];
}

export type Outcome = 'accepted' | 'unchanged' | 'superseded' | 'refused';

const text = fc
  .constantFrom('上海市浦东新区', '"引号"与\\', '甲 乙', 'é', 'O’Neil')
  .chain((head) => fc.integer({ min: 0, max: 9 }).map((tail) => `${head}${tail}`));
const names = fc.uniqueArray(fc.constantFrom('张三', '李四', '欧阳小明', '王五𠮷', 'Ann O’Neil'), {
  minLength: 1,
  maxLength: 4,
});
/** Far away: no timer has a part in this. */
const expiry = fc.integer({ min: 2040, max: 2059 }).map((year) => `${year}-09-21T17:11:12+08:00`);
const code = fc.integer({ min: 0, max: 4 }).map((n) => `C0123456789N${n}`);

const amendable = {
  insurance_name: text,
  insured_name_list: names,
  coverage_detail: text,
  address: text,
  car_number: text,
  pet_name: text,
  plan_id: fc.integer({ min: 1, max: 20 }),
  out_contract_code: code,
  policy_periods: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 }),
};
const amendments: fc.Arbitrary<PolicyFields> = fc
  .record(amendable, { requiredKeys: [] })
  .filter((fields) => Object.keys(fields).length > 0);

const message: fc.Arbitrary<Message> = fc.oneof(
  { weight: 40, arbitrary: amendments.map((fields) => ({ name: 'amend' as const, fields })) },
  { weight: 2, arbitrary: fc.constant({ name: 'amend' as const, fields: { address: '' } }) },
  { weight: 2, arbitrary: fc.constant({ name: 'amend' as const, fields: { policy_state: DECLINED } as const }) },
  { weight: 22, arbitrary: code.map((policy_code) => ({ name: 'approve' as const, policy_code })) },
  { weight: 3, arbitrary: fc.constant({ name: 'decline' as const, reason: 'a test' }) },
  {
    weight: 20,
    arbitrary: fc.record({
      name: fc.constantFrom('cancel' as const, 'cancelBySignal' as const),
      cause: fc.constantFrom('SURRENDER' as const, 'HESITATION' as const, 'TERMINATED' as const),
    }),
  },
  { weight: 16, arbitrary: expiry.map((expired_time) => ({ name: 'renew' as const, expired_time })) },
  { weight: 16, arbitrary: fc.constant({ name: 'reinstate' as const, reason: 'a test' }) },
);

const step: fc.Arbitrary<Step> = fc.record({
  at: fc.integer({ min: 0, max: 999 }).map((share) => share / 1000),
  message,
  delivery: fc.oneof(
    { weight: 6, arbitrary: fc.constant('once' as const) },
    { weight: 1, arbitrary: fc.constantFrom('twice' as const, 'again' as const) },
  ),
  version: fc.oneof(
    { weight: 3, arbitrary: fc.constant('none' as const) },
    { weight: 3, arbitrary: fc.constant('newer' as const) },
    { weight: 1, arbitrary: fc.constant('old' as const) },
  ),
});

const fresh: fc.Arbitrary<PolicyFields> = fc.record({
  ...amendable,
  effective_time: fc.constant('2025-09-21T17:11:12+08:00'),
  expired_time: expiry,
  support_renewal: fc.boolean(),
  policy_type: fc.constantFrom(
    'POLICY_TYPE_OTHER' as const,
    'POLICY_TYPE_MEDICAL' as const,
    'POLICY_TYPE_CAR' as const,
  ),
  policy_state: fc.constant(ISSUING),
  policy_code: code,
  insurance_company_code: fc.constant('SANDBOX'),
  free_insurance: fc.boolean(),
});

const plan: fc.Arbitrary<Plan> = fc
  .record({
    policy: fresh,
    found: fc.constantFrom('same' as const, 'same' as const, 'other' as const, 'nothing' as const),
    other: amendments,
    every: fc.constantFrom('10s', '30s', '7d'),
    steps: fc.array(step, { minLength: 2, maxLength: 9, size: 'max' }),
  })
  .map(({ policy, found, other, every, steps }) => ({
    record: {
      policy,
      verification: { every },
      ...(found === 'nothing' && { upload: { appid: 'wx1', openid: 'o1' } }),
    },
    held: found === 'nothing' ? undefined : { ...policy, ...(found === 'other' && other) },
    steps: steps.sort((a, b) => a.at - b.at),
  }));

/** The plan of the run's policy number `n`: the same for the same seed, whatever the others are. */
export function planOf(seed: number, n: number): Plan {
  const [found] = fc.sample(plan, { seed: seed * 100_003 + n, numRuns: 1 });
  if (!found) throw new Error('fast-check made no plan');
  return found;
}

/** What the merchant wants of one policy. */
export class Model {
  fields: PolicyFields;
  /** The last that was accepted. */
  version: number | null = null;

  constructor(fields: PolicyFields) {
    this.fields = fields;
  }

  get over(): boolean {
    return this.fields.policy_state === DECLINED;
  }

  /** What must be answered to a message never seen before; the fields are those after it. */
  obey(message: Message, version: number | undefined): Outcome {
    if (version !== undefined && this.version !== null && version <= this.version) return 'superseded';
    const change = this.#change(message);
    if (change === undefined) return 'refused';
    if (version !== undefined) this.version = version;
    const changed = Object.entries(change).some(([field, value]) => !same(field, value, this.#field(field)));
    if (!changed) return 'unchanged';
    this.fields = { ...this.fields, ...change };
    return 'accepted';
  }

  #field(name: string): unknown {
    return this.fields[name as keyof PolicyFields];
  }

  /** The fields that it sets, `undefined` where it is illegal. */
  #change(message: Message): PolicyFields | undefined {
    const state = this.fields.policy_state;
    switch (message.name) {
      case 'approve': {
        const { policy_code } = message;
        const again = state === APPROVED && policy_code === this.fields.policy_code;
        return state === ISSUING || again ? { policy_state: APPROVED, policy_code } : undefined;
      }
      case 'decline':
        return state === ISSUING ? { policy_state: DECLINED } : undefined;
      case 'cancel':
      case 'cancelBySignal':
        return { policy_state: INACTIVE };
      case 'amend':
        return message.fields.address === '' || message.fields.policy_state ? undefined : message.fields;
      case 'renew': {
        const { expired_time } = message;
        const later = expired_time >= String(this.fields.expired_time);
        return state === APPROVED && later ? { expired_time } : undefined;
      }
      case 'reinstate':
        return state === ISSUING ? undefined : { policy_state: APPROVED };
    }
  }
}

/** Names have no order; everything else here is written one way only. */
function same(field: string, a: unknown, b: unknown): boolean {
  const text = (value: unknown): string =>
    JSON.stringify(field === 'insured_name_list' && Array.isArray(value) ? [...value].sort() : value);
  return text(a) === text(b);
}

/** The names of the fields in which two records differ, those that only one of them has too. */
export function unlike(a: PolicyFields, b: PolicyFields): string[] {
  const fields = new Set([...Object.keys(a), ...Object.keys(b)]) as Set<keyof PolicyFields & string>;
  return [...fields].filter((field) => !same(field, a[field], b[field]));
}
