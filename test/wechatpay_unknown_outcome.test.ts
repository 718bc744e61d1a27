import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WechatPay } from '../wechatpay/client.ts';
import type { Reason } from '../wechatpay/errors.ts';
import {
  answer,
  type Handler,
  heldPolicy,
  merchantAt,
  NUMBER,
  signedHeaders,
  strangerPair,
  withCounterpart,
} from './wechatpay_counterpart.ts';
import { errorOf, expect, FIELDS, failing, patched, says, UNSIGNED } from './wechatpay_errors_fixture.ts';

describe('unknown outcome', () => {
  for (const status of [500, 502, 503, 504])
    it(`a ${status}, signed or not`, async () => {
      const error = await patched(says(status, 'SYSTEM_ERROR', { 'Retry-After': '3' }));
      expect(error, 'unknown', 'server-error');
      assert.deepEqual([error.status, error.code, error.retry_after_ms], [status, 'SYSTEM_ERROR', 3000]);
      expect(await patched(says(status, 'SYSTEM_ERROR', UNSIGNED)), 'unknown', 'server-error');
    });

  it('a page in HTML from a box in between', async () => {
    const error = await patched((_request, response) => response.writeHead(502).end('<html>Bad Gateway</html>'));
    expect(error, 'unknown', 'server-error');
    assert.equal(error.message, 'WeChat Pay answered 502');
  });

  it('no answer in time', () =>
    withCounterpart(
      () => {},
      async ({ url }) => {
        const client = new WechatPay(merchantAt(url), { timeout: 150 });
        expect(await errorOf(client.updatePolicy(NUMBER, FIELDS)), 'unknown', 'time-out');
      },
    ));

  it('an answer that begins in time and does not end', () =>
    withCounterpart(
      (_request, response) => response.writeHead(200, { 'Content-Length': '100' }).write('{'),
      async ({ url }) => {
        const client = new WechatPay(merchantAt(url), { timeout: 300 });
        expect(await errorOf(client.updatePolicy(NUMBER, FIELDS)), 'unknown', 'time-out');
      },
    ));

  it('a call aborted while it is under way', async () => {
    const controller = new AbortController();
    await withCounterpart(
      () => controller.abort(),
      async ({ url }) => {
        const call = new WechatPay(merchantAt(url)).updatePolicy(NUMBER, FIELDS, { signal: controller.signal });
        expect(await errorOf(call), 'unknown', 'aborted');
      },
    );
  });

  it('a connection cut without an answer', async () => {
    expect(await patched((_request, response) => response.destroy()), 'unknown', 'no-answer');
  });

  it('a connection cut without an answer to a query, which is not sent again either', () =>
    withCounterpart(
      (_request, response) => response.destroy(),
      async ({ url, requests }) => {
        expect(await errorOf(new WechatPay(merchantAt(url)).queryPolicy(NUMBER)), 'unknown', 'no-answer');
        assert.equal(requests.length, 1);
      },
    ));

  it('no answer in time, from a fetch of the caller’s that does not pass the reason on', async () => {
    const fetch = (input: unknown): Promise<Response> =>
      new Promise((_resolve, reject) => {
        const { signal } = input as Request;
        signal.addEventListener('abort', () => reject(new Error('This operation was aborted')));
      });
    const client = new WechatPay(merchantAt('http://127.0.0.1:1'), { fetch, timeout: 20 });
    expect(await errorOf(client.queryPolicy(NUMBER)), 'unknown', 'time-out');
  });

  it('a kept-alive connection that is cut when it is used again', () => {
    let answered = 0;
    return withCounterpart(
      (_request, response) => (answered++ === 0 ? answer(response, 200, heldPolicy()) : response.destroy()),
      async ({ url, requests }) => {
        const client = new WechatPay(merchantAt(url));
        await client.queryPolicy(NUMBER);
        expect(await errorOf(client.updatePolicy(NUMBER, FIELDS)), 'unknown', 'no-answer');
        assert.equal(requests.length, 2);
      },
    );
  });

  it('a connection cut in the middle of the answer', async () => {
    const cuts: Handler = (_request, response) => {
      response.writeHead(200, { 'Content-Length': '100' });
      response.write('{"out_insurance_no"', () => response.destroy());
    };
    expect(await patched(cuts), 'unknown', 'no-answer');
  });

  const reported: [string, object][] = [
    ['a connection reset', { code: 'ECONNRESET', syscall: 'read' }],
    ['a route lost while reading', { code: 'EHOSTUNREACH', syscall: 'read' }],
    ['a time-out of the system’s while reading', { code: 'ETIMEDOUT', syscall: 'read' }],
    ['one of several addresses that was reached', { errors: [{ code: 'ECONNREFUSED' }, { code: 'ECONNRESET' }] }],
    ['an error of a kind not foreseen', {}],
  ];
  for (const [what, cause] of reported) it(what, async () => expect(await failing(cause), 'unknown', 'no-answer'));

  it('an answer larger than the limit, whose connection is then destroyed', async () => {
    let closed: Promise<void> | undefined;
    const endless: Handler = (_request, response) => {
      closed = new Promise((resolve) => response.on('close', resolve));
      response.writeHead(200);
      const pour = (): void => {
        while (response.write('x'.repeat(1024)));
        response.once('drain', pour);
      };
      pour();
    };
    await withCounterpart(endless, async ({ url }) => {
      const client = new WechatPay(merchantAt(url), { answerLimit: 4096 });
      expect(await errorOf(client.updatePolicy(NUMBER, FIELDS)), 'unknown', 'too-large');
      await closed;
    });
  });

  it('an answer of exactly the limit is none', () =>
    withCounterpart(
      (_request, response) => answer(response, 200, { out_insurance_no: NUMBER, policy_state: 'x' }),
      async ({ url }) => {
        const answerLimit = JSON.stringify({ out_insurance_no: NUMBER, policy_state: 'x' }).length;
        assert.equal((await new WechatPay(merchantAt(url), { answerLimit }).queryPolicy(NUMBER)).status, 200);
        const error = await errorOf(
          new WechatPay(merchantAt(url), { answerLimit: answerLimit - 1 }).queryPolicy(NUMBER),
        );
        expect(error, 'unknown', 'too-large');
      },
    ));

  for (const status of [301, 302, 303, 307, 308])
    it(`a redirect ${status}, which is never followed`, async () => {
      const redirects: Handler = (_request, response) => response.writeHead(status, { Location: '/elsewhere' }).end();
      expect(await patched(redirects), 'unknown', 'redirect');
    });

  for (const status of [400, 403, 404, 409])
    it(`an unsigned ${status}: it may come from a box in between`, async () => {
      const error = await patched(says(status, status === 403 ? 'NO_AUTH' : 'PARAM_ERROR', UNSIGNED));
      expect(error, 'unknown', 'unsigned');
      assert.equal(error.status, status);
    });

  it('an unsigned 2xx', async () => {
    const error = await patched((_request, response) => answer(response, 200, heldPolicy(), { 'Request-ID': 'R2' }));
    expect(error, 'unknown', 'unsigned');
    assert.deepEqual([error.status, error.request_id], [200, 'R2']);
  });

  type Forgery = (headers: Record<string, string>) => Record<string, string>;
  const forgeries: [string, Reason, Forgery][] = [
    [
      'a signature of another answer',
      'wrong-signature',
      (h) => ({ ...h, 'Wechatpay-Signature': signedHeaders('{}')['Wechatpay-Signature'] ?? '' }),
    ],
    [
      'a signature prefixed WECHATPAY/SIGNTEST/',
      'wrong-signature',
      (h) => ({ ...h, 'Wechatpay-Signature': `WECHATPAY/SIGNTEST/${h['Wechatpay-Signature']}` }),
    ],
    ['an empty signature', 'wrong-signature', (h) => ({ ...h, 'Wechatpay-Signature': '' })],
    ['another nonce than the signed one', 'wrong-signature', (h) => ({ ...h, 'Wechatpay-Nonce': 'x' })],
    [
      'another time stamp than the signed one',
      'wrong-signature',
      (h) => ({ ...h, 'Wechatpay-Timestamp': String(Number(h['Wechatpay-Timestamp']) + 1) }),
    ],
    ['an unknown serial', 'unknown-serial', (h) => ({ ...h, 'Wechatpay-Serial': 'PUB_KEY_ID_OTHER' })],
    ['no serial', 'unknown-serial', ({ 'Wechatpay-Serial': _, ...h }) => h],
    ['no time stamp', 'wrong-signature', ({ 'Wechatpay-Timestamp': _, ...h }) => h],
  ];
  for (const [what, reason, forge] of forgeries)
    for (const [status, body] of [
      [200, heldPolicy()],
      [400, { code: 'PARAM_ERROR' }],
      [401, { code: 'SIGN_ERROR' }],
      [404, { code: 'NOT_FOUND' }],
      [429, { code: 'FREQUENCY_LIMITED' }],
    ] as const)
      it(`a ${status} with ${what}`, async () => {
        const forged: Handler = (_request, response) =>
          answer(response, status, body, forge(signedHeaders(JSON.stringify(body))));
        expect(await patched(forged), 'unknown', reason);
      });

  it('a 2xx signed by a key that is not WeChat Pay’s', async () => {
    const body = JSON.stringify(heldPolicy());
    const forged: Handler = (_request, response) =>
      response.writeHead(200, signedHeaders(body, { key: strangerPair.privateKey })).end(body);
    expect(await patched(forged), 'unknown', 'wrong-signature');
  });

  it('a time stamp 300 s away, either way; 299 s away is taken', async () => {
    const now = 1_758_445_872_000;
    const at = (seconds: number): Handler => {
      return (_request, response) => {
        const body = JSON.stringify(heldPolicy());
        response.writeHead(200, signedHeaders(body, { timestamp: now / 1000 + seconds })).end(body);
      };
    };
    for (const away of [300, -300, 301]) {
      const error = await patched(at(away), { now: () => now });
      expect(error, 'unknown', 'stale');
      assert.match(error.message, new RegExp(`${Math.abs(away)} s`));
    }
    for (const away of [299, -299])
      await withCounterpart(at(away), async ({ url }) => {
        assert.equal((await new WechatPay(merchantAt(url), { now: () => now }).queryPolicy(NUMBER)).status, 200);
      });
  });

  for (const [what, body] of [
    ['invalid JSON', '{"out_insurance_no":'],
    ['no body', ''],
    ['a list', '[]'],
    ['null', 'null'],
  ] as const)
    it(`a signed 2xx with ${what}`, async () => {
      expect(
        await patched((_request, response) => response.writeHead(200, signedHeaders(body)).end(body)),
        'unknown',
        'not-a-policy',
      );
    });

  it('a signed 2xx with a single byte changed on the way', async () => {
    const body = JSON.stringify(heldPolicy());
    const changed: Handler = (_request, response) =>
      response.writeHead(200, signedHeaders(body)).end(body.replace('12535', '12536'));
    expect(await patched(changed), 'unknown', 'wrong-signature');
  });

  it('a signed 2xx of another policy than asked for, or of none', async () => {
    expect(
      await patched((_request, response) => answer(response, 200, { ...heldPolicy(), out_insurance_no: 'B2' })),
      'unknown',
      'other-policy',
    );
    expect(
      await patched((_request, response) => answer(response, 200, { policy_state: 'x' })),
      'unknown',
      'other-policy',
    );
  });

  for (const status of [202, 203, 206, 207])
    it(`a signed ${status}, which does not say that anything was done, though it carries the policy`, async () => {
      expect(
        await patched((_request, response) => answer(response, status, heldPolicy())),
        'unknown',
        'unexpected-status',
      );
    });

  it('a signed 204, which carries no policy', async () => {
    const nothing: Handler = (_request, response) => response.writeHead(204, signedHeaders('')).end();
    expect(await patched(nothing), 'unknown', 'unexpected-status');
  });

  it('a signed 2xx that carries the number alone, and no policy', async () => {
    for (const body of [{ out_insurance_no: NUMBER }, { out_insurance_no: NUMBER, policy_state: null }])
      expect(await patched((_request, response) => answer(response, 200, body)), 'unknown', 'not-a-policy');
  });
});
