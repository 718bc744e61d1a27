import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { WechatPay } from '../wechatpay/client.ts';
import { RefusedError } from '../wechatpay/errors.ts';
import { merchantAt, NUMBER, withCounterpart } from './wechatpay_counterpart.ts';
import { errorOf, expect, FIELDS, failing, patched, says, UNSIGNED } from './wechatpay_errors_fixture.ts';

describe('no effect', () => {
  for (const code of ['FREQUENCY_LIMITED', 'RATELIMIT_EXCEEDED'])
    for (const [how, headers] of [
      ['signed', {}],
      ['unsigned', UNSIGNED],
    ] as const)
      it(`a ${how} 429 ${code}`, async () => {
        const error = await patched(says(429, code, headers));
        expect(error, 'no-effect', 'throttled');
        assert.deepEqual([error.status, error.code, error.retry_after_ms], [429, code, undefined]);
      });

  for (const code of ['FREQUENCY_LIMIT_EXCEED', 'FREQUENCY_LIMITED', 'RATELIMIT_EXCEED', 'RATE_LIMIT_EXCEEDED'])
    it(`a signed 403 ${code} is a 429, as older pages and gateways have it, with its Retry-After`, async () => {
      const error = await patched(says(403, code, { 'Retry-After': '7' }));
      expect(error, 'no-effect', 'throttled');
      assert.equal(error.retry_after_ms, 7000);
    });

  it('a 429 says by Retry-After when to come back: seconds, or an HTTP date; an hour at most, never before now', async () => {
    const now = Math.floor(Date.now() / 1000) * 1000;
    const at = (ms: number): string => new Date(now + ms).toUTCString();
    const asked: [string, number | undefined][] = [
      ['7', 7000],
      ['0', 0],
      ['99999999', 3_600_000],
      [at(30_000), 30_000],
      [at(-30_000), 0],
      [at(86_400_000), 3_600_000],
      ['soon', undefined],
      ['-5', undefined],
      ['1e9', undefined],
    ];
    for (const [value, expected] of asked) {
      const error = await patched(says(429, 'FREQUENCY_LIMITED', { 'Retry-After': value }), { now: () => now });
      assert.equal(error.retry_after_ms, expected, value);
    }
  });

  it('a refused connection: the host is dead', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const error = await errorOf(new WechatPay(merchantAt(`http://127.0.0.1:${port}`)).updatePolicy(NUMBER, FIELDS));
    expect(error, 'no-effect', 'not-connected');
    assert.match(error.message, /ECONNREFUSED/);
    assert.equal(error.host, `127.0.0.1:${port}`);
  });

  // These cannot be had without leaving the machine: fetch's own way to report them is imitated.
  const reported: [string, object][] = [
    ['an unknown host name', { code: 'ENOTFOUND', syscall: 'getaddrinfo' }],
    ['a name server that does not answer', { code: 'EAI_AGAIN', syscall: 'getaddrinfo' }],
    ['no route to the host', { code: 'EHOSTUNREACH', syscall: 'connect' }],
    ['no route to its network', { code: 'ENETUNREACH', syscall: 'connect' }],
    ['a connect time-out', { code: 'UND_ERR_CONNECT_TIMEOUT' }],
    ['a connect time-out of the system’s', { code: 'ETIMEDOUT', syscall: 'connect' }],
    [
      'all of several addresses refusing',
      { code: 'ECONNREFUSED', errors: [{ code: 'ECONNREFUSED' }, { code: 'ENETUNREACH', syscall: 'connect' }] },
    ],
  ];
  for (const [what, cause] of reported)
    it(what, async () => expect(await failing(cause), 'no-effect', 'not-connected'));

  it('a call aborted before it was sent', () =>
    withCounterpart(says(200, ''), async ({ url, requests }) => {
      const client = new WechatPay(merchantAt(url));
      expect(await errorOf(client.queryPolicy(NUMBER, { signal: AbortSignal.abort() })), 'no-effect', 'aborted');
      const controller = new AbortController();
      const call = errorOf(client.updatePolicy(NUMBER, FIELDS, { signal: controller.signal }));
      controller.abort();
      expect(await call, 'no-effect', 'aborted');
      assert.equal(requests.length, 0);
    }));
});

describe('refused', () => {
  for (const [status, code] of [
    [400, 'PARAM_ERROR'],
    [400, 'INVALID_REQUEST'],
    [403, 'RULE_LIMIT'],
    [403, 'RULE_LIMIT_EXCEEDED'],
    [409, 'ALREADY_EXISTS'],
  ] as const)
    it(`a signed ${status} ${code}`, async () => {
      const error = await patched(says(status, code));
      expect(error, 'refused', 'refused');
      assert.deepEqual(
        [error.status, error.code, error.request_id, error.message],
        [status, code, '08F1A2B3C4-0', '参数错误'],
      );
      assert.ok(error instanceof RefusedError && !error.notFound);
    });

  for (const code of ['NOT_FOUND', 'RESOURCE_NOT_EXISTS'])
    it(`a signed 404 ${code}, told apart as notFound`, async () => {
      const error = await patched(says(404, code));
      expect(error, 'refused', 'not-found');
      assert.ok(error instanceof RefusedError && error.notFound);
    });

  it('a name too long to be sealed, before anything is sent', () =>
    withCounterpart(says(200, ''), async ({ url, requests }) => {
      const call = new WechatPay(merchantAt(url)).updatePolicy(NUMBER, { insured_name_list: ['长'.repeat(72)] });
      expect(await errorOf(call), 'refused', 'name-too-long');
      assert.equal(requests.length, 0);
    }));
});

describe('the merchant’s fault', () => {
  it('a 401, signed or not: WeChat Pay does not sign to whom it does not know', async () => {
    expect(await patched(says(401, 'SIGN_ERROR')), 'merchant-fault', 'signature-refused');
    const error = await patched(says(401, 'SIGN_ERROR', UNSIGNED));
    expect(error, 'merchant-fault', 'signature-refused');
    assert.deepEqual([error.status, error.code, error.request_id], [401, 'SIGN_ERROR', 'R1']);
  });

  it('a signed 403 NO_AUTH', async () => {
    expect(await patched(says(403, 'NO_AUTH')), 'merchant-fault', 'no-permission');
  });

  it('keys or hosts that are lacking or cannot sign, before anything is sent', async () => {
    const merchant = merchantAt('http://127.0.0.1:1');
    const { privateKey } = generateKeyPairSync('x25519');
    for (const unusable of [
      { merchant_keys: [] },
      { wechatpay_keys: [] },
      { base_urls: [] },
      { merchant_keys: [{ serial_no: '1', private_key: privateKey }] },
    ])
      expect(
        await errorOf(new WechatPay({ ...merchant, ...unusable }).queryPolicy(NUMBER)),
        'merchant-fault',
        'unusable-settings',
      );
  });
});
