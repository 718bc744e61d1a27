import { setImmediate } from 'node:timers/promises';
import { answerMessage, verifyMessage } from '../wechatpay/signature.ts';
import type { Bench, Reply } from './sandbox_calls.ts';

/** How far an answer proves itself; the headers that it lacks count as empty. */
export function proof(
  bench: Bench,
  { headers, text }: Reply,
): { verified: boolean; age: number; known: boolean; serial: string | null } {
  const [timestamp, nonce] = [headers.get('wechatpay-timestamp') ?? '', headers.get('wechatpay-nonce') ?? ''];
  const { wechatpay_public_key, wechatpay_public_key_id } = bench.sandbox.keys;
  const message = answerMessage({ timestamp, nonce, body: text });
  const serial = headers.get('wechatpay-serial');
  return {
    verified: verifyMessage(wechatpay_public_key, message, headers.get('wechatpay-signature') ?? ''),
    age: Math.floor(Date.now() / 1000) - Number(timestamp),
    known: serial === wechatpay_public_key_id,
    serial,
  };
}

export async function until<T>(found: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const value = await found();
    if (value !== undefined) return value;
    await setImmediate();
  }
}
