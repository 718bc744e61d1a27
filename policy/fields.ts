/**
 * Fields known to hold nothing about a person. This is an allow-list: any other field, one that WeChat Pay adds
 * tomorrow too, is sealed wherever it rests or leaves. `coverage_detail` is free text of the merchant's, so not on it.
 */
const IMPERSONAL: ReadonlySet<string> = new Set([
  'out_insurance_no',
  'insurance_name',
  'insurance_company_code',
  'effective_time',
  'expired_time',
  'support_renewal',
  'start_renewal_time',
  'end_renewal_time',
  'policy_type',
  'policy_state',
  'policy_code',
  'plan_id',
  'out_contract_code',
  'policy_periods',
  'free_insurance',
  'combined_payment',
  'payment_method',
  'period_premium_mode',
  'payment_period',
  'first_period_amount',
  'subsequent_period_amount',
  'coverage_term_type',
  'appid',
  'payee_mchid',
  'payee_appid',
]);

/** Whether values of this field must be sealed at rest and kept out of logs, errors and the UI. */
export function isPersonal(field: string): boolean {
  return !IMPERSONAL.has(field);
}

/** Fields that hold an instant, compared as such and sent in `+08:00`. */
export const TIME_FIELDS: ReadonlySet<string> = new Set([
  'effective_time',
  'expired_time',
  'start_renewal_time',
  'end_renewal_time',
]);

/** What an upload carries for itself alone: whom it is for. */
export const UPLOAD_ONLY: ReadonlySet<string> = new Set([
  'appid',
  'openid',
  'payee_mchid',
  'payee_appid',
  'payee_openid',
]);

/** Fields of WeChat Pay's answer that an update cannot carry: the path names the policy, the company is set at upload. */
export const ANSWER_ONLY: ReadonlySet<string> = new Set(['out_insurance_no', 'insurance_company_code']);
