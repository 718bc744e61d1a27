import type { IncomingHttpHeaders } from 'node:http';
import { parseAuthorization, requestMessage, SCHEME, verifyMessage } from '../wechatpay/signature.ts';
import type { SandboxKeys } from './keys.ts';
import { Refusal } from './refusal.ts';

const SECONDS_AWAY = 300;

/** A request as it came in; `body` as received, `path` with its query. */
export interface Call {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: Buffer;
  /** From the path, or from the body of an upload. */
  out_insurance_no: string | undefined;
}

/** `signature_ok`: the signature is the merchant's, though time stamp or nonce may still be refused. */
export interface Verdict {
  signature_ok: boolean;
  refusal?: Refusal;
}

/** Checks `Authorization` as WeChat Pay does (APIv3, 签名与验签规则), and remembers nonces for as long as they could be replayed. */
export class Authentication {
  readonly #keys: SandboxKeys;
  readonly #now: () => number;
  /** Nonce → Unix seconds from which on its time stamp alone gives it away. */
  readonly #nonces = new Map<string, number>();

  constructor(keys: SandboxKeys, now: () => number) {
    this.#keys = keys;
    this.#now = now;
  }

  check({ method, path, headers, body }: Call): Verdict {
    const given = parseAuthorization(headers.authorization ?? '');
    if (!given)
      return refused('authorization', `expected ${SCHEME} with mchid, serial_no, timestamp, nonce_str, signature`);
    if (given.mchid !== this.#keys.mchid) return refused('mchid', 'no such merchant');
    // WeChat Pay compares serials without case: wechatpay-node-v3 sends them in lower case.
    if (given.serial_no.toUpperCase() !== this.#keys.merchant_serial_no.toUpperCase())
      return refused('serial_no', 'no such certificate of the merchant');
    const message = requestMessage({ method, path, timestamp: given.timestamp, nonce: given.nonce_str, body });
    if (!verifyMessage(this.#keys.merchant_certificate.publicKey, message, given.signature))
      return refused('signature', 'sign not match');
    return { signature_ok: true, ...this.#fresh(given.timestamp, given.nonce_str) };
  }

  #fresh(timestamp: string, nonce: string): { refusal?: Refusal } {
    const now = Math.floor(this.#now() / 1000);
    const at = /^\d+$/.test(timestamp) ? Number(timestamp) : Number.NaN;
    if (!(Math.abs(now - at) <= SECONDS_AWAY))
      return { refusal: signError('timestamp', `expected a time at most ${SECONDS_AWAY} s away`) };
    for (const [old, until] of this.#nonces) {
      if (until >= now) break;
      this.#nonces.delete(old);
    }
    if (this.#nonces.has(nonce)) return { refusal: signError('nonce_str', 'used before') };
    this.#nonces.set(nonce, at + SECONDS_AWAY);
    return {};
  }
}

function refused(field: string, issue: string): Verdict {
  return { signature_ok: false, refusal: signError(field, issue) };
}

function signError(field: string, issue: string): Refusal {
  return new Refusal(401, 'SIGN_ERROR', `${field}: ${issue}`, { field, issue, location: 'authorization' });
}
