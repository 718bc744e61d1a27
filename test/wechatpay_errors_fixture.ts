import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { type Answer, WechatPay, type WechatPayOptions } from '../wechatpay/client.ts';
import {
  MerchantFaultError,
  NoEffectError,
  type Outcome,
  type Reason,
  RefusedError,
  UnknownOutcomeError,
  WechatPayError,
} from '../wechatpay/errors.ts';
import type { Merchant } from '../wechatpay/merchant.ts';
import { answer, type Handler, merchantAt, NUMBER, signedHeaders, withCounterpart } from './wechatpay_counterpart.ts';

export const FIELDS = {
  insured_name_list: ['张三', '欧阳小红'],
  address: '上海市浦东新区晨晖路1001号',
  car_number: '粤B·AB123',
};

export async function errorOf(call: Promise<Answer>): Promise<WechatPayError> {
  const error = await call.then(
    () => assert.fail('expected the call to reject'),
    (rejection: unknown) => rejection,
  );
  assert.ok(error instanceof WechatPayError, inspect(error));
  return error;
}

/** The error of a PATCH to a server that answers by `handler`; asserts that one request was sent. */
export async function patched(
  handler: Handler,
  options: WechatPayOptions = {},
  merchant: Partial<Merchant> = {},
): Promise<WechatPayError> {
  let error: WechatPayError | undefined;
  await withCounterpart(handler, async ({ url, requests }) => {
    error = await errorOf(new WechatPay({ ...merchantAt(url), ...merchant }, options).updatePolicy(NUMBER, FIELDS));
    assert.equal(requests.length, 1);
    assert.equal(error.host, new URL(url).host);
  });
  assert.ok(error);
  return error;
}

export function expect(error: WechatPayError, outcome: Outcome, reason: Reason): void {
  const family = {
    'no-effect': NoEffectError,
    unknown: UnknownOutcomeError,
    refused: RefusedError,
    'merchant-fault': MerchantFaultError,
  };
  assert.deepEqual([error.outcome, error.reason, error.name], [outcome, reason, family[outcome].name], error.message);
  assert.ok(error instanceof family[outcome]);
  assert.ok(!/\p{Cc}/u.test(error.message) && [...error.message].length <= 300);
}

export const says = (status: number, code: string, headers?: Record<string, string>, message = '参数错误'): Handler => {
  return (_request, response) => {
    const body = { code, message, detail: { field: 'address' } };
    answer(
      response,
      status,
      body,
      headers?.unsigned ? { 'Request-ID': 'R1' } : { ...signedHeaders(JSON.stringify(body)), ...headers },
    );
  };
};

export const UNSIGNED = { unsigned: 'yes' };

export function failing(cause: object): Promise<WechatPayError> {
  const rejecting: typeof fetch = () =>
    Promise.reject(new TypeError('fetch failed', { cause: Object.assign(new Error('a socket’s error'), cause) }));
  return errorOf(new WechatPay(merchantAt('http://127.0.0.1:1'), { fetch: rejecting }).updatePolicy(NUMBER, FIELDS));
}
