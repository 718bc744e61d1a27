import assert from 'node:assert/strict';
import { answerMessage, verifyMessage } from '../wechatpay/signature.ts';
import { type Bench, REGULAR, type Reply } from './sandbox_calls.ts';

/** What tests ask of a bench, which is there once they run. */
export function serviceOf(bench: () => Bench) {
  let number = 0;

  /** A policy of its own for a test; the number is new each time. */
  async function held(fields: object = {}): Promise<string> {
    const out_insurance_no = `P${++number}`;
    await bench().put({ ...REGULAR, ...fields, out_insurance_no });
    return out_insurance_no;
  }

  function isSigned({ headers, text }: Reply): boolean {
    const [timestamp, nonce] = [headers.get('wechatpay-timestamp'), headers.get('wechatpay-nonce')];
    const signature = headers.get('wechatpay-signature');
    if (timestamp === null || nonce === null || signature === null) return false;
    const { wechatpay_public_key, wechatpay_public_key_id } = bench().sandbox.keys;
    assert.equal(headers.get('wechatpay-serial'), wechatpay_public_key_id);
    assert.ok(Math.abs(Date.now() / 1000 - Number(timestamp)) < 60);
    return verifyMessage(wechatpay_public_key, answerMessage({ timestamp, nonce, body: text }), signature);
  }

  function assertRefused(reply: Reply, status: number, code: string, message: RegExp = /./): void {
    assert.deepEqual([reply.status, reply.json.code], [status, code], reply.text);
    assert.match(String(reply.json.message), message);
    assert.equal(isSigned(reply), status !== 401);
  }

  return { held, isSigned, assertRefused };
}
