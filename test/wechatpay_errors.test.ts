import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
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
import { personalValues, redact } from '../wechatpay/redaction.ts';
import { parseAuthorization } from '../wechatpay/signature.ts';
import {
  answer,
  type Handler,
  heldPolicy,
  merchantAt,
  merchantPair,
  NUMBER,
  signedHeaders,
  strangerPair,
  withCounterpart,
} from './wechatpay_counterpart.ts';

const FIELDS = {
  insured_name_list: ['张三', '欧阳小红'],
  address: '上海市浦东新区晨晖路1001号',
  car_number: '粤B·AB123',
};

async function errorOf(call: Promise<Answer>): Promise<WechatPayError> {
  const error = await call.then(
    () => assert.fail('expected the call to reject'),
    (rejection: unknown) => rejection,
  );
  assert.ok(error instanceof WechatPayError, inspect(error));
  return error;
}

/** The error of a PATCH to a server that answers by `handler`; asserts that one request was sent. */
async function patched(
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

function expect(error: WechatPayError, outcome: Outcome, reason: Reason): void {
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

const says = (status: number, code: string, headers?: Record<string, string>, message = '参数错误'): Handler => {
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
const UNSIGNED = { unsigned: 'yes' };

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

function failing(cause: object): Promise<WechatPayError> {
  const rejecting: typeof fetch = () =>
    Promise.reject(new TypeError('fetch failed', { cause: Object.assign(new Error('a socket’s error'), cause) }));
  return errorOf(new WechatPay(merchantAt('http://127.0.0.1:1'), { fetch: rejecting }).updatePolicy(NUMBER, FIELDS));
}

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

describe('an error', () => {
  it('shows nothing of what was sent when WeChat Pay echoes it: names, sealed names, address, nonce, signature, key', async () => {
    for (const status of [400, 401, 403, 404, 429, 500]) {
      let secrets: string[] = [];
      const echoes: Handler = ({ headers, body }, response) => {
        const sent = JSON.parse(String(body)) as typeof FIELDS;
        const { nonce_str, signature } = parseAuthorization(headers.authorization ?? '') ?? {
          nonce_str: '',
          signature: '',
        };
        secrets = [
          ...FIELDS.insured_name_list,
          ...sent.insured_name_list,
          FIELDS.address,
          FIELDS.car_number,
          nonce_str,
          signature,
        ];
        const text = `bad: ${secrets.join(', ')}\n${headers.authorization} ${body} ${FIELDS.address.slice(0, 9)}`;
        const said = { code: 'PARAM_ERROR', message: text.slice(0, 2000) };
        answer(response, status, said);
      };
      const error = await patched(echoes);
      secrets.push(String(merchantPair.privateKey.export({ type: 'pkcs8', format: 'pem' })).slice(30, 90));
      const shown = `${inspect(error, { depth: 9, showHidden: true })} ${JSON.stringify(error)} ${error.stack} ${error.message}`;
      for (const secret of [...secrets, '上海市', '浦东'])
        assert.ok(!shown.includes(secret.slice(0, 20)), `${status}: ${secret.slice(0, 20)}`);
      assert.equal(error.cause, undefined);
      assert.match(error.message, /^bad: …, …/);
    }
  });

  it('shows no code, and no Request-ID, that is not one', async () => {
    const error = await patched((_request, response) => {
      answer(response, 400, { code: '张三 is wrong', message: 7 }, { 'Request-ID': 'a b' });
    });
    assert.deepEqual([error.code, error.request_id], [undefined, undefined]);
  });

  it('has a message of one line, cut at 300 characters, without any value that was sent', () => {
    const value = fc
      .string({ unit: 'grapheme', minLength: 2, maxLength: 30 })
      .filter((text) => !/[\p{C}\p{Z}…]/u.test(text));
    fc.assert(
      fc.property(
        fc.array(value, { maxLength: 4 }),
        fc.array(fc.string({ unit: 'binary' }), { maxLength: 4 }),
        (sent, around) => {
          const shown = redact([...around, ...sent, ...around, ...sent].join('\n'), sent);
          assert.ok([...shown].length <= 300 && !/\p{Cc}/u.test(shown));
          for (const secret of sent) assert.ok(!shown.includes(secret));
        },
      ),
    );
  });

  it('has a message that invisible characters inside a value do not keep from being cut', () => {
    assert.equal(redact('name 张\u200b\u0000三!', ['张三']), 'name …!');
    assert.equal(redact('name 张\n三!', personalValues({ pet_name: '张\n三' })), 'name …!');
  });

  it('has a message from which a value is cut whole, though another value is part of it', () => {
    assert.equal(redact('at 张三路1号', ['张三', '张三路1号']), 'at …');
  });

  it('has a message from which a value is cut that it quotes shortened', () => {
    assert.equal(redact('at 上海市浦东新区...', ['上海市浦东新区晨晖路1001号']), 'at …...');
  });

  it('has a message without the personal values of fields not known, nested ones too; others stay', () => {
    const values = personalValues({ tomorrow: { holder: ['李四', 139001] }, insurance_name: '微医保', ok: true });
    assert.equal(redact('李四 139001 微医保 true', values), '… … 微医保 true');
  });
});
