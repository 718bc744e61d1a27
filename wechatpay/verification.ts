import type { WechatPayKey } from './merchant.ts';
import { answerMessage, verifyMessage } from './signature.ts';

const SECONDS_AWAY = 300;

/** Whether a message is WeChat Pay's. `unsigned` has no signature at all; the other reasons mean that it has a wrong one. */
export type Verdict =
  | { signed: true }
  | { signed: false; reason: 'unsigned' | 'unknown-serial' | 'wrong-signature' | 'stale'; message: string };

/**
 * Verifies the raw bytes of an answer, or of a notification, by its `Wechatpay-*` headers (APIv3, 签名与验签规则). `now` in
 * Unix milliseconds: a time stamp 5 minutes or more away is refused. The wrong signatures that WeChat Pay sends on
 * purpose (`WECHATPAY/SIGNTEST/…`) fail like any other.
 */
export function verifyAnswer(keys: readonly WechatPayKey[], headers: Headers, body: Buffer, now: number): Verdict {
  const signature = single(headers, 'wechatpay-signature');
  if (signature === undefined) return { signed: false, reason: 'unsigned', message: 'it carries no signature' };
  const serial = single(headers, 'wechatpay-serial');
  // WeChat Pay compares serials without case, and so do boxes that write them anew.
  const key = keys.find(({ id }) => id.toUpperCase() === serial?.toUpperCase());
  if (!key)
    return {
      signed: false,
      reason: 'unknown-serial',
      message: `it is signed with ${named(serial)}, which is not among wechatpay_keys`,
    };
  const timestamp = single(headers, 'wechatpay-timestamp') ?? '';
  const nonce = single(headers, 'wechatpay-nonce') ?? '';
  if (!verifyMessage(key.public_key, answerMessage({ timestamp, nonce, body }), signature))
    return { signed: false, reason: 'wrong-signature', message: `its signature does not verify with ${key.id}` };
  // Not a number counts as away: a comparison the other way round would let it pass.
  const away = Math.abs(Math.floor(now / 1000) - (/^\d+$/.test(timestamp) ? Number(timestamp) : Number.NaN));
  if (away < SECONDS_AWAY) return { signed: true };
  return { signed: false, reason: 'stale', message: `its time stamp is ${away} s away from this machine's clock` };
}

/**
 * A header without what pads it. Sent twice, `fetch` joins both by a comma, which none of these values has: the same
 * twice is that.
 */
function single(headers: Headers, name: string): string | undefined {
  const values = new Set(
    headers
      .get(name)
      ?.split(',')
      .map((part) => part.trim()),
  );
  return values.size > 1 ? headers.get(name)?.trim() : [...values][0];
}

function named(serial: string | undefined): string {
  return serial !== undefined && /^\w{1,64}$/.test(serial) ? `key ${serial}` : 'a key that it does not name';
}
