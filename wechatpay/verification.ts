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
  const signature = headers.get('wechatpay-signature');
  if (signature === null) return { signed: false, reason: 'unsigned', message: 'it carries no signature' };
  const serial = headers.get('wechatpay-serial');
  const key = keys.find(({ id }) => id === serial);
  if (!key)
    return {
      signed: false,
      reason: 'unknown-serial',
      message: `it is signed with ${named(serial)}, which is not among wechatpay_keys`,
    };
  const [timestamp, nonce] = [headers.get('wechatpay-timestamp') ?? '', headers.get('wechatpay-nonce') ?? ''];
  if (!verifyMessage(key.public_key, answerMessage({ timestamp, nonce, body }), signature))
    return { signed: false, reason: 'wrong-signature', message: `its signature does not verify with ${key.id}` };
  // Not a number counts as away: a comparison the other way round would let it pass.
  const away = Math.abs(Math.floor(now / 1000) - (/^\d+$/.test(timestamp) ? Number(timestamp) : Number.NaN));
  if (away < SECONDS_AWAY) return { signed: true };
  return { signed: false, reason: 'stale', message: `its time stamp is ${away} s away from this machine's clock` };
}

function named(serial: string | null): string {
  return serial !== null && /^\w{1,64}$/.test(serial) ? `key ${serial}` : 'a key that it does not name';
}
