import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Rsa } from 'wechatpay-axios-plugin';
import { differences } from '../policy/difference.ts';
import { WechatPay } from '../wechatpay/client.ts';
import { HOLDS, holds } from './wechatpay_client_fixture.ts';
import {
  answer,
  heldPolicy,
  KEY_ID,
  merchantAt,
  merchantPair,
  NUMBER,
  signedHeaders,
  strangerPair,
  withCounterpart,
} from './wechatpay_counterpart.ts';

describe('an answer', () => {
  it('is the whole policy, unknown fields too, names in the clear, with its Request-ID', () =>
    withCounterpart(holds, async ({ url }) => {
      const { policy, unreadable, request_id, status, host, duration_ms } = await new WechatPay(
        merchantAt(url),
      ).queryPolicy(NUMBER);
      assert.deepEqual(policy, { ...heldPolicy(), insured_name_list: ['张三'] });
      assert.deepEqual([unreadable, request_id, status], [[], '08F1A2B3C4-0', 200]);
      assert.equal(host, new URL(url).host);
      assert.ok(duration_ms >= 0);
    }));

  it('opens names with any of the merchant’s keys: a certificate’s rotation under way', () =>
    withCounterpart(holds, async ({ url }) => {
      const merchant = merchantAt(url);
      const added = { serial_no: '77', private_key: strangerPair.privateKey };
      const { policy } = await new WechatPay({
        ...merchant,
        merchant_keys: [...merchant.merchant_keys, added],
      }).queryPolicy(NUMBER);
      assert.deepEqual(policy.insured_name_list, ['张三']);
    }));

  it('leaves out names that no key opens, and says so', () =>
    withCounterpart(
      (_request, response) => {
        const names = [Rsa.encrypt('张三', merchantPair.publicKey), Rsa.encrypt('李四', strangerPair.publicKey)];
        answer(response, 200, { ...heldPolicy(), insured_name_list: names });
      },
      async ({ url }) => {
        const { policy, unreadable } = await new WechatPay(merchantAt(url)).queryPolicy(NUMBER);
        assert.ok(!('insured_name_list' in policy));
        assert.deepEqual(unreadable, ['insured_name_list']);
      },
    ));

  it('with no names, or null for them, is readable', () =>
    withCounterpart(
      (_request, response) => answer(response, 200, { ...HOLDS, insured_name_list: null }),
      async ({ url }) => {
        const { policy, unreadable } = await new WechatPay(merchantAt(url)).queryPolicy(NUMBER);
        assert.deepEqual([policy, unreadable], [HOLDS, []]);
      },
    ));

  it('verifies with each of WeChat Pay’s keys, the one that Wechatpay-Serial names: their rotation under way', () =>
    withCounterpart(
      (_request, response) => {
        const body = JSON.stringify(heldPolicy());
        response
          .writeHead(200, signedHeaders(body, { serial: 'PUB_KEY_ID_NEW', key: strangerPair.privateKey }))
          .end(body);
      },
      async ({ url }) => {
        const merchant = merchantAt(url);
        const added = { id: 'PUB_KEY_ID_NEW', public_key: strangerPair.publicKey };
        const client = new WechatPay({ ...merchant, wechatpay_keys: [...merchant.wechatpay_keys, added] });
        assert.equal((await client.queryPolicy(NUMBER)).status, 200);
      },
    ));

  for (const [what, written] of [
    ['padded with blanks and tabs', (value: string) => `  ${value}\t `],
    ['sent twice', (value: string) => [value, value]],
  ] as const)
    it(`verifies with headers ${what}, and keeps its Request-ID`, () =>
      withCounterpart(
        (_request, response) => {
          const body = JSON.stringify(heldPolicy());
          const headers = Object.entries(signedHeaders(body)).map(([name, value]) => [name, written(value)]);
          response.writeHead(200, Object.fromEntries(headers)).end(body);
        },
        async ({ url }) => {
          const { request_id, status } = await new WechatPay(merchantAt(url)).queryPolicy(NUMBER);
          assert.deepEqual([request_id, status], ['08F1A2B3C4-0', 200]);
        },
      ));

  it('verifies with a serial in another case than the key’s id', () =>
    withCounterpart(
      (_request, response) => {
        const body = JSON.stringify(heldPolicy());
        response.writeHead(200, signedHeaders(body, { serial: KEY_ID.toLowerCase() })).end(body);
      },
      async ({ url }) => assert.equal((await new WechatPay(merchantAt(url)).queryPolicy(NUMBER)).status, 200),
    ));

  it('keeps integers to the last digit, however long: a plan_id of 16 digits is not the next one', () =>
    withCounterpart(
      (_request, response) => {
        const body = `{"plan_id":9007199254740993,"x":[-90071992547409931,12,1.5e3,"9007199254740993 \\" 1"],${JSON.stringify(HOLDS).slice(1)}`;
        response.writeHead(200, signedHeaders(body)).end(body);
      },
      async ({ url }) => {
        const { policy } = await new WechatPay(merchantAt(url)).queryPolicy(NUMBER);
        assert.deepEqual(differences({ plan_id: '9007199254740993' }, policy), []);
        assert.equal(differences({ plan_id: '9007199254740992' }, policy).length, 1);
        assert.deepEqual(policy.x, ['-90071992547409931', 12, 1500, '9007199254740993 " 1']);
      },
    ));

  it('is verified on its raw bytes, before anything is parsed', () =>
    withCounterpart(
      (_request, response) => {
        const body = `{ "out_insurance_no" : "${NUMBER}",\n "address" : "\\u4e0a", "policy_state": "x" }\n`;
        response.writeHead(200, signedHeaders(body)).end(body);
      },
      async ({ url }) => {
        assert.equal((await new WechatPay(merchantAt(url)).queryPolicy(NUMBER)).policy.address, '上');
      },
    ));
});
