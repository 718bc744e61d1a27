import type { z } from 'zod';

/**
 * The fields of a schema, each with a word about it: editors show it through the JSON Schemas, people read it in
 * docs/reference. A field without one does not compile.
 */
export function described<Fields extends Record<string, z.ZodType>>(
  fields: Fields,
  words: { readonly [Name in keyof Fields]: string },
): Fields {
  const entries = Object.entries(fields).map(([name, schema]) => [name, schema.describe(words[name] ?? '')]);
  return Object.fromEntries(entries) as Fields;
}

export const POLICY_WORDS = {
  out_insurance_no: "The merchant's number of the policy: 1 to 32 letters and digits, unique per merchant.",
  insurance_name: 'Name of the product, 1 to 50 characters.',
  insured_name_list: 'Names of the insured, in the clear: they are sealed for WeChat Pay, at most 11.',
  insurance_company_code: "WeChat Pay's code of the insurance company. An upload needs it; it cannot be updated.",
  effective_time: 'When cover begins.',
  expired_time: 'When cover ends. It may lack only where coverage_term_type is COVERAGE_TERM_TYPE_LIFETIME.',
  coverage_detail: 'What is covered, in words.',
  support_renewal: 'Whether the policy can be renewed. Without true there is no renewal window.',
  start_renewal_time: 'When the renewal window opens. Computed from renewal.opens_before where it is not given.',
  end_renewal_time: 'When the renewal window closes. Computed from renewal.closes_after where it is not given.',
  policy_type: 'Kind of insurance. POLICY_TYPE_CAR needs car_number, POLICY_TYPE_PET needs pet_name.',
  car_number: 'Number plate of the car.',
  pet_name: 'Name of the pet.',
  address: 'Address of what is insured.',
  policy_state: 'The state that the merchant wants. POLICY_STATE_APPROVED needs policy_code.',
  policy_code: "The insurer's number of the policy. It goes with every state that is sent.",
  plan_id: 'Id of the deduction plan, as a number or a text; sent as it is given.',
  out_contract_code: "The merchant's code of the deduction contract, at most 32 characters.",
  policy_periods: 'Ids of the deduction periods that the policy covers.',
  free_insurance: 'Whether the insurance is free of charge. An upload needs it.',
  combined_payment: 'Whether the premium is paid together with other things.',
  payment_method: 'How the premium is paid: in periods or at once.',
  period_premium_mode: 'How the premiums of the periods differ.',
  payment_period: 'How long a period is.',
  first_period_amount: 'Premium of the first period, in fen.',
  subsequent_period_amount: 'Premium of each later period, in fen.',
  coverage_term_type: 'COVERAGE_TERM_TYPE_LIFETIME: cover for life, without expiry and renewal window.',
} as const;

export const UPLOAD_WORDS = {
  appid: 'AppID of the app or mini program through which the policy was sold.',
  openid: "The user's OpenID under that AppID.",
  payee_mchid: 'Merchant id of who is paid, where that is another.',
  payee_appid: 'AppID of who is paid.',
  payee_openid: "The user's OpenID under payee_appid.",
} as const;

export const RENEWAL_WORDS = {
  opens_before: 'How long before the end of cover the renewal window opens.',
  closes_after: 'How long after the end of cover the renewal window closes.',
} as const;

export const VERIFICATION_WORDS = {
  every: 'How often WeChat Pay is asked what it holds, once nothing has changed for a while.',
  on_drift: 'What becomes of a field that somebody else changed: put right, or only reported.',
  on_state_drift: 'The same for the state. By default nothing is sent: the policy is DIVERGED.',
} as const;

export const RECORD_WORDS = {
  mchid: 'Merchant id, 8 to 10 digits.',
  policy: 'The policy, with the names and types of WeChat Pay. Times are RFC 3339 with an offset.',
  upload: 'What an upload needs besides. With it, a policy that WeChat Pay does not know is uploaded.',
  adopt:
    'What becomes of a difference that the first GET finds: push ours, take the remote record for ours, or only report it.',
  renewal:
    "The renewal window of a policy whose support_renewal is true, where the policy does not give the window's times.",
  verification: 'How often it is verified, and what becomes of what is found.',
  issuing_alert_after: 'A policy that is ISSUING for longer is marked issuing-overdue.',
  retry_alert_after: 'A change that waits for longer shows as RETRYING.',
  reinstatement_within:
    'How long an INACTIVE policy can be reinstated before its workflow ends. By default 30d, after a LAPSE 730d.',
  extra_fields:
    'Names of fields of policy and upload that WeChat Pay has added and this release does not know; any other is refused.',
} as const;

export const ENVELOPE_WORDS = {
  event_id:
    'Id of the event in your system: a known one gets its first answer again. Made by library and command where it lacks.',
  version:
    'Grows per policy in your system: one not above the last accepted is answered superseded, and changes nothing.',
  by: 'Who asked, for the history of commands.',
} as const;
