import { type KeyObject, randomBytes } from 'node:crypto';
import { sealName } from '../wechatpay/sealing.ts';
import { answerMessage, SCHEME, signMessage } from '../wechatpay/signature.ts';
import type { Fault, Forgery } from './faults.ts';
import type { HeldPolicy } from './kept_policies.ts';
import type { SandboxKeys } from './keys.ts';
import type { Refusal } from './refusal.ts';

/** An answer before it is signed. `code`: of an error. */
export interface Answer {
  status: number;
  code: string | null;
  body: Buffer;
  headers: Record<string, string>;
}

const OLD_SECONDS = 600;

/** 200 with the whole policy, its names newly sealed with `sealingKey`. */
export function policyAnswer({ insured_name_list: names, ...policy }: HeldPolicy, sealingKey: KeyObject): Answer {
  const sealed = Array.isArray(names)
    ? { insured_name_list: names.map((name) => sealName(sealingKey, String(name))) }
    : {};
  // The company is set at upload; a policy put in by /_sandbox may lack it.
  return jsonAnswer(200, null, { insurance_company_code: 'SANDBOX', ...policy, ...sealed });
}

export function refusalAnswer({ status, code, message, detail }: Refusal): Answer {
  return jsonAnswer(status, code, { code, message, detail });
}

/** What a fault answers in the place of the service; `undefined` where it lets the service answer. */
export function answerInstead(fault: Fault): Answer | undefined {
  const { status, code, redirect } = fault;
  if (redirect !== undefined) return { ...jsonAnswer(307, null, {}), headers: { Location: redirect } };
  if (status === undefined) return undefined;
  if (fault.body !== undefined)
    return { status, code: null, body: Buffer.from(fault.body), headers: fault.headers ?? {} };
  const answer = jsonAnswer(status, code ?? null, { code, message: fault.message ?? 'asked for by a fault' });
  if (fault.retry_after !== undefined) answer.headers['Retry-After'] = String(fault.retry_after);
  return answer;
}

function jsonAnswer(status: number, code: string | null, value: object): Answer {
  return { status, code, body: Buffer.from(JSON.stringify(value)), headers: { 'Content-Type': 'application/json' } };
}

/** The headers that prove an answer to be WeChat Pay's (APIv3, 签名与验签规则), or fail to, as `forge` asks. `now` in Unix ms. */
export async function signatureHeaders(
  keys: SandboxKeys,
  body: Buffer,
  now: number,
  forge?: Forgery,
): Promise<Record<string, string>> {
  if (forge === 'unsigned') return {};
  const timestamp = Math.floor(now / 1000) - (forge === 'timestamp' ? OLD_SECONDS : 0);
  const nonce = randomBytes(16).toString('hex');
  const signed = forge === 'signature' ? Buffer.concat([body, Buffer.from(' ')]) : body;
  const signature = await signMessage(keys.wechatpay_private_key, answerMessage({ timestamp, nonce, body: signed }));
  return {
    'Wechatpay-Timestamp': String(timestamp),
    'Wechatpay-Nonce': nonce,
    'Wechatpay-Serial': forge === 'serial' ? `PUB_KEY_ID_${'9'.repeat(32)}` : keys.wechatpay_public_key_id,
    'Wechatpay-Signature': forge === 'signtest' ? `WECHATPAY/SIGNTEST/${signature}` : signature,
    'Wechatpay-Signature-Type': SCHEME,
  };
}
