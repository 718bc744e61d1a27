import { randomBytes } from 'node:crypto';
import { ANSWER_ONLY } from '../policy/fields.ts';
import type { PolicyFields } from '../policy/record.ts';
import { refuse } from '../policy/violation.ts';
import { MerchantFaultError, NoEffectError } from './errors.ts';
import { exchange, type Outgoing, type Received } from './exchange.ts';
import type { Merchant, WechatPayKey } from './merchant.ts';
import { withOpenedNames, withSealedNames } from './names.ts';
import { type CallFacts, confirmedPolicy, errorOfAnswer, errorOfFailure, requestId } from './outcome.ts';
import { personalValues } from './redaction.ts';
import { authorization, requestMessage, signMessage } from './signature.ts';
import { verifyAnswer } from './verification.ts';

const POLICIES = '/v3/inspolicymgr/deduct/policies';

export interface WechatPayOptions {
  /** Sends a request; for tests, proxies, agents. @default globalThis.fetch */
  fetch?: typeof fetch;
  /** Milliseconds for one call, answer's body included. @default 10_000 */
  timeout?: number;
  /** Bytes of an answer's body; a longer one is cut off, its outcome unknown. @default 262_144 */
  answerLimit?: number;
  /** Clock, Unix milliseconds. @default Date.now */
  now?: () => number;
  /** `User-Agent` of every call. @default 'wechatpay-policy-sync Node.js/<version>' */
  userAgent?: string;
}

export interface Call {
  /** Which of the merchant's `base_urls`, modulo their number. @default 0 */
  host?: number;
  /** Aborts the call. Once it is under way its outcome is then unknown. */
  signal?: AbortSignal;
  /** What the policy holds or held, as far as is known: personal values are cut out of messages like those of the call. */
  known?: readonly Readonly<Record<string, unknown>>[];
}

/** A confirmed answer: 200 or 201, its signature verified, and of the policy that was asked for. */
export interface Answer {
  /** The policy as WeChat Pay holds it, unknown fields too; names opened, in the clear. */
  policy: PolicyFields;
  /** Fields left out of `policy` because no key of the merchant's opens them. */
  unreadable: string[];
  request_id?: string;
  status: number;
  /** Host and port that answered. */
  host: string;
  duration_ms: number;
}

/**
 * WeChat Pay's policy service for one merchant. One call is one HTTP request, signed anew, never repeated, never
 * redirected. It resolves with what WeChat Pay proved that it holds, and rejects with a `WechatPayError` that says what
 * can be relied on.
 */
export class WechatPay {
  readonly #merchant: Merchant;
  readonly #fetch: typeof fetch | undefined;
  readonly #timeout: number;
  readonly #answerLimit: number;
  readonly #now: () => number;
  readonly #userAgent: string;

  constructor(merchant: Merchant, options: WechatPayOptions = {}) {
    this.#merchant = merchant;
    this.#fetch = options.fetch;
    this.#timeout = options.timeout ?? 10_000;
    this.#answerLimit = options.answerLimit ?? 256 * 1024;
    this.#now = options.now ?? Date.now;
    this.#userAgent = options.userAgent ?? `wechatpay-policy-sync Node.js/${process.versions.node}`;
  }

  /** Queries a policy (查询保单): `GET /v3/inspolicymgr/deduct/policies/{out_insurance_no}`. */
  queryPolicy(out_insurance_no: string, call?: Call): Promise<Answer> {
    return this.#call('GET', out_insurance_no, undefined, call);
  }

  /**
   * Updates a policy (更新保单信息): `PATCH /v3/inspolicymgr/deduct/policies/{out_insurance_no}` with `fields`, names in the
   * clear. The number goes in the path alone, `insurance_company_code` not at all, and an empty list of names is left
   * out: it means "no update". Answers the whole policy.
   */
  updatePolicy(out_insurance_no: string, fields: PolicyFields, call?: Call): Promise<Answer> {
    const carried = Object.fromEntries(Object.entries(fields).filter(([field]) => !ANSWER_ONLY.has(field)));
    return this.#call('PATCH', out_insurance_no, carried, call);
  }

  /**
   * Uploads a policy (上传保单): `POST /v3/inspolicymgr/deduct/policies` with the policy, names in the clear, and the
   * upload's own fields (`insurance_company_code`, `appid`, `openid`, …).
   */
  uploadPolicy(body: PolicyFields & { out_insurance_no: string }, call?: Call): Promise<Answer> {
    return this.#call('POST', body.out_insurance_no, body, call);
  }

  async #call(
    method: Outgoing['method'],
    out_insurance_no: string,
    fields: PolicyFields | undefined,
    call: Call = {},
  ): Promise<Answer> {
    const started = performance.now();
    const url = this.#url(method === 'POST' ? POLICIES : pathOf(out_insurance_no), call.host ?? 0);
    const key = this.#sealingKey();
    const wire = fields && withSealedNames(fields, key);
    const { outgoing, secrets } = await this.#signed(
      method,
      url,
      Buffer.from(wire ? JSON.stringify(wire) : ''),
      key.id,
    );
    if (call.signal?.aborted)
      throw new NoEffectError('aborted before it was sent', { reason: 'aborted', host: url.host });
    const personal = [fields, wire, ...(call.known ?? [])].flatMap((values) => personalValues(values ?? {}));
    const facts = (): CallFacts => ({ host: url.host, hidden: [...secrets, ...personal], now: this.#now() });
    const answer = await this.#exchange(outgoing, call.signal, facts);
    return {
      ...this.#confirmed(answer, out_insurance_no, facts()),
      host: url.host,
      duration_ms: Math.round(performance.now() - started),
    };
  }

  #url(path: string, host: number): URL {
    const { base_urls } = this.#merchant;
    const base = base_urls[Math.abs(host) % base_urls.length];
    if (base === undefined) throw unusable('base_urls: expected a host, found none');
    const url = new URL(path, base);
    // `.` and `..` would be resolved away, and the call would go to another resource.
    return url.pathname === path ? url : refuse('insurance-number', 'expected letters and digits', 'out_insurance_no');
  }

  #sealingKey(): WechatPayKey {
    return this.#merchant.wechatpay_keys[0] ?? refuseKey('wechatpay_keys');
  }

  async #signed(
    method: Outgoing['method'],
    url: URL,
    body: Buffer,
    serial: string,
  ): Promise<{ outgoing: Outgoing; secrets: string[] }> {
    const { mchid, merchant_keys } = this.#merchant;
    const { serial_no, private_key } = merchant_keys[0] ?? refuseKey('merchant_keys');
    const timestamp = Math.floor(this.#now() / 1000);
    const nonce_str = randomBytes(16).toString('hex');
    const message = requestMessage({ method, path: url.pathname, timestamp, nonce: nonce_str, body });
    const signature = await signMessage(private_key, message).catch(() =>
      // Node's error is left behind: what it may say of a key is not ours to show.
      Promise.reject(unusable(`merchant_keys: the key ${serial_no} cannot sign with RSA-SHA256`)),
    );
    const headers = {
      Accept: 'application/json',
      ...(body.length > 0 && { 'Content-Type': 'application/json' }),
      'User-Agent': this.#userAgent,
      'Wechatpay-Serial': serial,
      Authorization: authorization({ mchid, serial_no, nonce_str, timestamp, signature }),
    };
    return { outgoing: { method, url, headers, body }, secrets: [nonce_str, signature] };
  }

  async #exchange(outgoing: Outgoing, signal: AbortSignal | undefined, facts: () => CallFacts): Promise<Received> {
    const limits = { fetch: this.#fetch, timeout: this.#timeout, answerLimit: this.#answerLimit, signal };
    try {
      return await exchange(outgoing, limits);
    } catch (failure) {
      throw errorOfFailure(failure, facts());
    }
  }

  #confirmed(answer: Received, out_insurance_no: string, facts: CallFacts): Omit<Answer, 'host' | 'duration_ms'> {
    const verdict = verifyAnswer(this.#merchant.wechatpay_keys, answer.headers, answer.body, facts.now);
    const success = answer.status >= 200 && answer.status < 300;
    if (!success || !verdict.signed) throw errorOfAnswer(answer, verdict, facts);
    const policy = confirmedPolicy(answer, out_insurance_no, facts);
    const request_id = requestId(answer.headers);
    const keys = this.#merchant.merchant_keys.map(({ private_key }) => private_key);
    return { ...withOpenedNames(policy, keys), ...(request_id && { request_id }), status: answer.status };
  }
}

function pathOf(out_insurance_no: string): string {
  if (out_insurance_no === '')
    refuse('insurance-number', 'expected letters and digits, found none', 'out_insurance_no');
  // Half of a surrogate pair has no bytes in UTF-8, and so no place in a path.
  if (/\p{Surrogate}/u.test(out_insurance_no))
    refuse('insurance-number', 'expected letters and digits', 'out_insurance_no');
  return `${POLICIES}/${encodeURIComponent(out_insurance_no)}`;
}

function refuseKey(setting: string): never {
  throw unusable(`${setting}: expected a key, found none`);
}

function unusable(message: string): MerchantFaultError {
  return new MerchantFaultError(message, { reason: 'unusable-settings' });
}
