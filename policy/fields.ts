import type { z } from 'zod';
import type * as types from './field_types.ts';
import { POLICY_STATES } from './state.ts';

/** What is to be known of a field of the contract; whatever compares, sends, seals, checks or tells of fields reads it here. */
export interface Field {
  /** Its type, of those of `field_types.ts`. Asked for by a function, so that zod is loaded only where records are checked. */
  type: (its: typeof types) => z.ZodType;
  /** A word about it: editors show it through the JSON Schemas, people read it in docs/reference. */
  word: string;
  /** Whether its values are sealed at rest, and kept out of logs, errors and the UI. Free text is: it may be about anybody. */
  personal: boolean;
  /** As what two of its values are compared. By default as JSON. */
  compared?: 'instant' | 'numeral' | 'set';
  /** WeChat Pay answers it, and no update can carry it. */
  answerOnly?: true;
}

export const POLICY_TYPES = [
  'POLICY_TYPE_OTHER',
  'POLICY_TYPE_MEDICAL',
  'POLICY_TYPE_ACCIDENT',
  'POLICY_TYPE_CRITICAL',
  'POLICY_TYPE_CAR',
  'POLICY_TYPE_LIFE',
  'POLICY_TYPE_PROPERTY',
  'POLICY_TYPE_PET',
  'POLICY_TYPE_ANNUITY',
] as const;

/** Cover without end: no expiry, no renewal window. */
export const LIFETIME = 'COVERAGE_TERM_TYPE_LIFETIME';

/** The fields of a policy, as WeChat Pay names them. */
export const POLICY_FIELDS = {
  out_insurance_no: {
    type: (its) => its.insuranceNumber(),
    word: "The merchant's number of the policy: 1 to 32 letters and digits, unique per merchant.",
    personal: false,
    answerOnly: true,
  },
  insurance_name: {
    type: (its) => its.someText(50),
    word: 'Name of the product, 1 to 50 characters.',
    personal: false,
  },
  insured_name_list: {
    type: (its) => its.names().optional(),
    word: 'Names of the insured, in the clear: they are sealed for WeChat Pay, at most 11.',
    personal: true,
    compared: 'set',
  },
  insurance_company_code: {
    type: (its) => its.text(32).optional(),
    word: "WeChat Pay's code of the insurance company. An upload needs it; it cannot be updated.",
    personal: false,
    answerOnly: true,
  },
  effective_time: {
    type: (its) => its.time(),
    word: 'When cover begins.',
    personal: false,
    compared: 'instant',
  },
  expired_time: {
    type: (its) => its.time().optional(),
    word: 'When cover ends. It may lack only where coverage_term_type is COVERAGE_TERM_TYPE_LIFETIME.',
    personal: false,
    compared: 'instant',
  },
  coverage_detail: {
    type: (its) => its.text().optional(),
    word: 'What is covered, in words.',
    personal: true,
  },
  support_renewal: {
    type: (its) => its.flag().optional(),
    word: 'Whether the policy can be renewed. Without true there is no renewal window.',
    personal: false,
  },
  start_renewal_time: {
    type: (its) => its.time().optional(),
    word: 'When the renewal window opens. Computed from renewal.opens_before where it is not given.',
    personal: false,
    compared: 'instant',
  },
  end_renewal_time: {
    type: (its) => its.time().optional(),
    word: 'When the renewal window closes. Computed from renewal.closes_after where it is not given.',
    personal: false,
    compared: 'instant',
  },
  policy_type: {
    type: (its) => its.oneOf(POLICY_TYPES),
    word: 'Kind of insurance. POLICY_TYPE_CAR needs car_number, POLICY_TYPE_PET needs pet_name.',
    personal: false,
  },
  car_number: {
    type: (its) => its.text().optional(),
    word: 'Number plate of the car.',
    personal: true,
  },
  pet_name: {
    type: (its) => its.text().optional(),
    word: 'Name of the pet.',
    personal: true,
  },
  address: {
    type: (its) => its.text().optional(),
    word: 'Address of what is insured.',
    personal: true,
  },
  policy_state: {
    type: (its) => its.oneOf(POLICY_STATES),
    word: 'The state that the merchant wants. POLICY_STATE_APPROVED needs policy_code.',
    personal: false,
  },
  policy_code: {
    type: (its) => its.text().optional(),
    word: "The insurer's number of the policy. It goes with every state that is sent.",
    personal: false,
  },
  plan_id: {
    type: (its) => its.numberOrText().optional(),
    word: 'Id of the deduction plan, as a number or a text; sent as it is given.',
    personal: false,
    compared: 'numeral',
  },
  out_contract_code: {
    type: (its) => its.text(32).optional(),
    word: "The merchant's code of the deduction contract, at most 32 characters.",
    personal: false,
  },
  policy_periods: {
    type: (its) => its.wholeNumbers().optional(),
    word: 'Ids of the deduction periods that the policy covers.',
    personal: false,
  },
  free_insurance: {
    type: (its) => its.flag().optional(),
    word: 'Whether the insurance is free of charge. An upload needs it.',
    personal: false,
  },
  combined_payment: {
    type: (its) => its.flag().optional(),
    word: 'Whether the premium is paid together with other things.',
    personal: false,
  },
  payment_method: {
    type: (its) => its.oneOf(['PAYMENT_METHOD_OTHER', 'PAYMENT_METHOD_PERIOD', 'PAYMENT_METHOD_LUMP_SUM']).optional(),
    word: 'How the premium is paid: in periods or at once.',
    personal: false,
  },
  period_premium_mode: {
    type: (its) =>
      its
        .oneOf(['PERIOD_PREMIUM_MODE_EQUAL', 'PERIOD_PREMIUM_MODE_FIRST_DIFF', 'PERIOD_PREMIUM_MODE_MULTI_DIFF'])
        .optional(),
    word: 'How the premiums of the periods differ.',
    personal: false,
  },
  payment_period: {
    type: (its) =>
      its
        .oneOf([
          'PAYMENT_PERIOD_DAY',
          'PAYMENT_PERIOD_WEEK',
          'PAYMENT_PERIOD_BIWEEKLY',
          'PAYMENT_PERIOD_MONTH',
          'PAYMENT_PERIOD_QUARTER',
          'PAYMENT_PERIOD_HALF_YEAR',
          'PAYMENT_PERIOD_YEAR',
        ])
        .optional(),
    word: 'How long a period is.',
    personal: false,
  },
  first_period_amount: {
    type: (its) => its.amount().optional(),
    word: 'Premium of the first period, in fen.',
    personal: false,
  },
  subsequent_period_amount: {
    type: (its) => its.amount().optional(),
    word: 'Premium of each later period, in fen.',
    personal: false,
  },
  coverage_term_type: {
    type: (its) => its.oneOf(['COVERAGE_TERM_TYPE_FIXED_DATE', LIFETIME]).optional(),
    word: 'COVERAGE_TERM_TYPE_LIFETIME: cover for life, without expiry and renewal window.',
    personal: false,
  },
} as const satisfies Record<string, Field>;

/** What an upload carries for itself alone: whom it is for. */
export const UPLOAD_FIELDS = {
  appid: {
    type: (its) => its.givenId(),
    word: 'AppID of the app or mini program through which the policy was sold.',
    personal: false,
  },
  openid: {
    type: (its) => its.givenId(),
    word: "The user's OpenID under that AppID.",
    personal: true,
  },
  payee_mchid: {
    type: (its) => its.givenIdOrNone().optional(),
    word: 'Merchant id of who is paid, where that is another.',
    personal: false,
  },
  payee_appid: {
    type: (its) => its.givenIdOrNone().optional(),
    word: 'AppID of who is paid.',
    personal: false,
  },
  payee_openid: {
    type: (its) => its.givenIdOrNone().optional(),
    word: "The user's OpenID under payee_appid.",
    personal: true,
  },
} as const satisfies Record<string, Field>;

const FIELDS: ReadonlyMap<string, Field> = new Map(Object.entries({ ...POLICY_FIELDS, ...UPLOAD_FIELDS }));

/**
 * Whether values of this field must be sealed at rest and kept out of logs, errors and the UI: those of any field that the
 * tables do not have, say one that WeChat Pay adds tomorrow, too.
 */
export function isPersonal(field: string): boolean {
  return FIELDS.get(field)?.personal ?? true;
}

/** As what two values of the field are compared. */
export function comparedAs(field: string): NonNullable<Field['compared']> | 'JSON' {
  return FIELDS.get(field)?.compared ?? 'JSON';
}

/** Fields that hold an instant, compared as such and sent in `+08:00`. */
export const TIME_FIELDS: ReadonlySet<string> = those(({ compared }) => compared === 'instant');

/** Fields of WeChat Pay's answer that an update cannot carry: the path names the policy, the company is set at upload. */
export const ANSWER_ONLY: ReadonlySet<string> = those(({ answerOnly }) => answerOnly === true);

/** What an upload carries for itself alone. */
export const UPLOAD_ONLY: ReadonlySet<string> = new Set(Object.keys(UPLOAD_FIELDS));

function those(are: (field: Field) => boolean): Set<string> {
  return new Set([...FIELDS].filter(([, field]) => are(field)).map(([name]) => name));
}
