import { answer, type Handler, heldPolicy, NUMBER } from './wechatpay_counterpart.ts';

export const holds: Handler = (_request, response) => answer(response, 200, heldPolicy());

/** What every answer that confirms carries. */
export const HOLDS = { out_insurance_no: NUMBER, policy_state: 'POLICY_STATE_ISSUING' };
