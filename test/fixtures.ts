import type { RecordInput } from '../policy/record.ts';
import { wireTime } from '../policy/time.ts';

/** The seed's own example, field by field; its three times are equal, so a life moves them. */
export const SEED = {
  out_insurance_no: 'Auisihsiahishishi4hihsid123418id',
  insurance_name: '微医保·百万医疗险',
  insured_name_list: ['张三'],
  effective_time: '2025-09-21T17:11:12+08:00',
  expired_time: '2026-09-21T17:11:12+08:00',
  coverage_detail: '可保190种疾病,确诊一次性赔付',
  support_renewal: true,
  policy_type: 'POLICY_TYPE_OTHER' as const,
  car_number: '粤B·AB123',
  pet_name: '小狗',
  address: '上海市浦东新区晨晖路1001号',
  policy_state: 'POLICY_STATE_ISSUING' as const,
  policy_code: 'Coisihsiaxishishi4hihsid1ii411co',
  plan_id: 12535,
  out_contract_code: 'wxwtdk20200910100000',
  policy_periods: [1],
};

export const MCHID = '1900000001';
export const SECOND = 1000;
export const DAY: number = 24 * 60 * 60 * SECOND;

/** A record of the seed's example, in force from a day before `now` for `term` ms; `changes` go over its policy. */
export function recordOf(
  changes: Partial<RecordInput['policy']> = {},
  settings: Partial<RecordInput> = {},
  { now = Date.now(), term = 365 * DAY }: { now?: number; term?: number } = {},
): RecordInput {
  const times = { effective_time: wireTime(now - DAY), expired_time: wireTime(now + term) };
  return { mchid: MCHID, ...settings, policy: { ...SEED, ...times, ...changes } };
}

/** A number that no other test uses: letters and digits, 20 characters. */
export function uniqueNumber(prefix = 'T'): string {
  const random = () => Math.random().toString(36).slice(2).toUpperCase();
  return `${prefix}${random()}${random()}`.slice(0, 20);
}
