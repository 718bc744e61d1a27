import type { PolicyFields } from '../policy/record.ts';
import { instantOf } from '../policy/time.ts';

// Written out a second time on purpose, not taken from policy/: a mistake in the rules there has to show here.

const MOST_DAYS_AWAY = 60;
const DAY = 24 * 60 * 60 * 1000;

type Fields = Readonly<Record<string, unknown>>;

interface Rule {
  /** Looked at where a request carries one of these: what is held already is not the request's fault. */
  fields: readonly string[];
  broken: (policy: Fields, sent: Fields, held: Fields | undefined) => string | undefined;
}

const RULES: readonly Rule[] = [
  {
    fields: ['policy_state'],
    broken: (policy, _sent, held) =>
      held?.policy_state === policy.policy_state
        ? `policy_state: is ${String(policy.policy_state)} already`
        : undefined,
  },
  {
    fields: ['policy_state'],
    broken: ({ policy_state, policy_code }) =>
      /_(APPROVED|INACTIVE)$/.test(String(policy_state)) && !policy_code
        ? `policy_code: expected with ${String(policy_state)}`
        : undefined,
  },
  {
    fields: ['effective_time', 'expired_time'],
    broken: ({ effective_time, expired_time }) => {
      const [from, until] = [instantOf(effective_time), instantOf(expired_time)];
      const reversed = from !== undefined && until !== undefined && until <= from;
      return reversed ? 'expired_time: expected after effective_time' : undefined;
    },
  },
  { fields: ['start_renewal_time', 'end_renewal_time'], broken: windowBroken },
  {
    fields: ['policy_type', 'car_number'],
    broken: ({ policy_type, car_number }) =>
      policy_type === 'POLICY_TYPE_CAR' && !car_number ? 'car_number: expected with POLICY_TYPE_CAR' : undefined,
  },
  {
    fields: ['policy_type', 'pet_name'],
    broken: ({ policy_type, pet_name }) =>
      policy_type === 'POLICY_TYPE_PET' && !pet_name ? 'pet_name: expected with POLICY_TYPE_PET' : undefined,
  },
];

function windowBroken(policy: Fields, sent: Fields): string | undefined {
  const expired = instantOf(policy.expired_time);
  for (const field of ['start_renewal_time', 'end_renewal_time']) {
    const at = instantOf(sent[field]);
    if (at !== undefined && expired !== undefined && Math.abs(at - expired) > MOST_DAYS_AWAY * DAY)
      return `${field}: expected within ${MOST_DAYS_AWAY} days of expired_time`;
  }
  const [effective, start] = [instantOf(policy.effective_time), instantOf(sent.start_renewal_time)];
  if (start !== undefined && effective !== undefined && start <= effective)
    return 'start_renewal_time: expected after effective_time';
  const [opens, closes] = [instantOf(policy.start_renewal_time), instantOf(policy.end_renewal_time)];
  const reversed = opens !== undefined && closes !== undefined && closes <= opens;
  return reversed ? 'end_renewal_time: expected after start_renewal_time' : undefined;
}

/**
 * What only WeChat Pay's official pages forbid (`--strict`), as a message of one line without a value; `undefined` where
 * nothing is. `policy` is what `held` would become by `sent`; `held` is absent for an upload.
 */
export function officialFault(policy: Fields, sent: PolicyFields, held?: Fields): string | undefined {
  const due = RULES.filter(({ fields }) => fields.some((field) => sent[field] !== undefined));
  return due.map(({ broken }) => broken(policy, sent, held)).find((fault) => fault !== undefined);
}
