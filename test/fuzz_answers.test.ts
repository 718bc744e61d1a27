import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import fc from 'fast-check';
import type { PolicyFields } from '../policy/record.ts';
import { RuleViolation } from '../policy/violation.ts';
import { signatureHeaders } from '../sandbox/answer.ts';
import { makeKeys, type SandboxKeys } from '../sandbox/keys.ts';
import { type Answer, WechatPay } from '../wechatpay/client.ts';
import { WechatPayError } from '../wechatpay/errors.ts';
import { sealName } from '../wechatpay/sealing.ts';
import { SEED } from './fixtures.ts';
import { anyJson, brokenBytes, isOneLine, isUnpolluted, Json, mutated, nested } from './fuzz_arbitraries.ts';
import { keysIn } from './made_keys.ts';

const NUMBER = SEED.out_insurance_no;
const PERSONAL = [SEED.address, SEED.car_number, SEED.pet_name, ...SEED.insured_name_list, SEED.coverage_detail];
const TIMEOUT = 500;
/** No shrinking: each try costs a request, and the counterexample is printed with its seed. */
const runs = (numRuns: number) => ({ numRuns, endOnFailure: true });

/** A raw server that answers every request with the same bytes, and then closes the connection or leaves it open. */
class RawServer {
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  answer: Buffer = Buffer.alloc(0);
  stays = false;

  constructor() {
    this.#server = createServer((socket) => {
      this.#open.add(socket);
      socket.on('close', () => this.#open.delete(socket));
      socket.on('error', () => {});
      socket.once('data', () => (this.stays ? socket.write(this.answer) : socket.end(this.answer)));
    });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function httpAnswer(statusLine: string, headers: readonly (readonly [string, string])[], body: Buffer): Buffer {
  const head = [statusLine, ...headers.map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n');
  return Buffer.concat([Buffer.from(head, 'latin1'), body]);
}

const statusLine = fc.oneof(
  { arbitrary: fc.integer({ min: 100, max: 999 }).map((status) => `HTTP/1.1 ${status} Any`), weight: 4 },
  {
    arbitrary: fc.constantFrom(
      'HTTP/1.1 200 OK',
      'HTTP/1.0 200 OK',
      'HTTP/2 200',
      'HTTP/1.1 99999 x',
      'HTTP/1.1 -1 x',
      'HTTP/1.1',
      '',
      'ICY 200 OK',
      '<html>',
      'HTTP/1.1 200 O\0K',
    ),
    weight: 2,
  },
  { arbitrary: fc.string({ unit: 'binary-ascii', maxLength: 40 }), weight: 1 },
);
const header = fc.tuple(
  fc.constantFrom(
    ...['Content-Length', 'Transfer-Encoding', 'Content-Encoding', 'Content-Type', 'Location', 'Retry-After'],
    ...['Request-ID', 'Wechatpay-Serial', 'Wechatpay-Signature', 'Wechatpay-Timestamp', 'Wechatpay-Nonce', 'X', ''],
    ...['Connection', 'Trailer', 'Set-Cookie', 'Upgrade'],
  ),
  fc.oneof(
    fc.constantFrom('0', '5', '-1', '99999999999999', 'chunked', 'gzip', 'br', 'deflate', 'close', 'Wed, 21 Oct'),
    fc.constantFrom('9'.repeat(400), '1e400', 'http://127.0.0.1:9/', '//', 'x'.repeat(20_000), '\0', 'a\tb', '险'),
    fc.string({ unit: 'binary-ascii', maxLength: 40 }),
  ),
);

const message = fc.oneof(
  fc.constantFrom(...PERSONAL, JSON.stringify({ ...SEED }), `${SEED.address}\n\u202e${SEED.address}`),
  fc.string({ unit: 'binary', maxLength: 400 }),
);

describe('answers of WeChat Pay that nobody expects', () => {
  const server = new RawServer();
  let directory: string;
  let keys: SandboxKeys;
  let wechatpay: WechatPay;
  const rejections: unknown[] = [];
  const rejected = (reason: unknown): void => void rejections.push(reason);

  before(async () => {
    process.on('unhandledRejection', rejected);
    directory = await mkdtemp(join(tmpdir(), 'policy-sync-fuzz-'));
    keys = await makeKeys(await keysIn(directory));
    const url = await server.start();
    const { mchid, merchant_serial_no: serial_no, merchant_private_key: private_key } = keys;
    const wechatpay_keys = [{ id: keys.wechatpay_public_key_id, public_key: keys.wechatpay_public_key }];
    const merchant_keys = [{ serial_no, private_key }];
    const base_urls = [url];
    const merchant = { mchid, merchant_keys, wechatpay_keys, requests_per_second: 50, base_urls, paused: false };
    wechatpay = new WechatPay(merchant, { timeout: TIMEOUT });
  });
  after(async () => {
    process.off('unhandledRejection', rejected);
    await server.close();
    await rm(directory, { recursive: true, force: true });
  });

  const calls: (() => Promise<unknown>)[] = [
    () => wechatpay.queryPolicy(NUMBER, { known: [SEED] }),
    () => wechatpay.updatePolicy(NUMBER, SEED as PolicyFields),
    () => wechatpay.uploadPolicy(SEED as PolicyFields & { out_insurance_no: string }),
  ];

  /** An answer that can be kept as JSON, or an error that can be shown as it is. */
  async function typed(call: () => Promise<unknown>): Promise<unknown> {
    const answer = await call().catch((error: unknown) => {
      assert.ok(error instanceof WechatPayError, `${error instanceof Error ? error.stack : error}`);
      assert.ok(isOneLine(error.message, 300), error.message);
      const shown = `${error.message} ${JSON.stringify(error)}`;
      for (const value of PERSONAL) assert.ok(!shown.includes(value), `${value} in ${shown}`);
      return error;
    });
    assert.deepEqual(rejections, []);
    assert.ok(isUnpolluted());
    return answer;
  }

  async function signed(status: string, body: Buffer): Promise<Buffer> {
    const proof = await signatureHeaders(keys, body, Date.now());
    return httpAnswer(status, [...Object.entries(proof), ['Content-Length', String(body.length)]], body);
  }

  it('any bytes: a typed error, one line, nothing personal', async () => {
    const bytes = fc.tuple(statusLine, fc.array(header, { maxLength: 4 }), brokenBytes(SEED));
    await fc.assert(
      fc.asyncProperty(bytes, fc.constantFrom(...calls), async ([status, headers, body], call) => {
        const length = headers.some(([name]) => /length|encoding/i.test(name))
          ? []
          : [['Content-Length', String(body.length)] as const];
        server.answer = httpAnswer(status, [...headers, ...length], body);
        assert.ok((await typed(call)) instanceof WechatPayError);
      }),
      runs(150),
    );
  });

  it('an answer that never ends: a typed error once its time is over', async () => {
    server.stays = true;
    server.answer = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{');
    try {
      await Promise.all(
        calls.map(async (call) => {
          const error = await typed(call);
          assert.ok(error instanceof WechatPayError && error.reason === 'time-out', String(error));
        }),
      );
    } finally {
      server.stays = false;
    }
  });

  it('a signed error of any body: its outcome by its status, its message without what was sent', async () => {
    const body = fc.oneof(
      message.map((text) => Buffer.from(JSON.stringify({ code: 'PARAM_ERROR', message: text }))),
      fc.tuple(anyJson, anyJson).map(([code, text]) => Buffer.from(`{"code":${code.text},"message":${text.text}}`)),
      brokenBytes({ code: 'PARAM_ERROR', message: SEED.address }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 300, max: 599 }),
        body,
        fc.constantFrom(...calls),
        async (status, it, call) => {
          server.answer = await signed(`HTTP/1.1 ${status} Any`, it);
          assert.ok((await typed(call)) instanceof WechatPayError);
        },
      ),
      runs(60),
    );
  });

  it('a signed policy with any fault in it: an answer that can be kept, or a typed error', async () => {
    const { insured_name_list: _names, ...held } = SEED;
    const policy = fc.oneof({ arbitrary: mutated(held), weight: 5 }, { arbitrary: anyJson, weight: 1 });
    const opens = new Json(JSON.stringify(sealName(keys.merchant_certificate.publicKey, '张三')));
    const names = fc.array(fc.oneof(anyJson, fc.constant(opens)), { maxLength: 3 });
    const list = fc.oneof(
      anyJson,
      names.map((some) => new Json(`[${some.map(({ text }) => text).join()}]`)),
    );
    await fc.assert(
      fc.asyncProperty(policy, list, fc.constantFrom(...calls), async ({ text }, sealed, call) => {
        const whole = text.replace(/^\{(?!\})/, `{"insured_name_list":${sealed.text},`);
        server.answer = await signed('HTTP/1.1 200 OK', Buffer.from(whole));
        const answer = (await typed(call)) as Answer | WechatPayError;
        if (answer instanceof WechatPayError) return;
        assert.equal(answer.policy.out_insurance_no, NUMBER);
        const again = JSON.parse(JSON.stringify(answer.policy)) as PolicyFields;
        assert.deepEqual(Object.keys(again), Object.keys(answer.policy));
        const opened = answer.policy.insured_name_list;
        assert.ok(opened === undefined || opened.every((name) => typeof name === 'string'));
      }),
      runs(150),
    );
  });

  it('a signed policy with more names than any has: its names are unreadable, and nobody waits for them', async () => {
    const sealed = sealName(keys.merchant_certificate.publicKey, '张三');
    for (const [count, unreadable] of [
      [11, []],
      [500, ['insured_name_list']],
    ] as const) {
      const whole = { ...SEED, insured_name_list: Array.from({ length: count }, () => sealed) };
      server.answer = await signed('HTTP/1.1 200 OK', Buffer.from(JSON.stringify(whole)));
      assert.deepEqual(((await typed(() => wechatpay.queryPolicy(NUMBER))) as Answer).unreadable, unreadable);
    }
  });

  it('a policy is confirmed by nothing but its own bytes, its number and a signature of WeChat Pay’s', async () => {
    const body = Buffer.from(JSON.stringify(SEED));
    const other = Buffer.from(JSON.stringify({ ...SEED, out_insurance_no: 'P2' }));
    const names = ['Wechatpay-Serial', 'Wechatpay-Signature', 'Wechatpay-Timestamp', 'Wechatpay-Nonce'] as const;
    const replaced = fc.tuple(
      fc.constantFrom(...names),
      fc.oneof(
        header.map(([, value]) => value),
        fc.constantFrom(undefined),
      ),
    );
    const answerWith = (of: Buffer, proof: object): Buffer =>
      httpAnswer('HTTP/1.1 200 OK', [...Object.entries(proof), ['Content-Length', String(of.length)]], of);
    await fc.assert(
      fc.asyncProperty(
        replaced,
        fc.nat({ max: body.length - 1 }),
        fc.nat({ max: 2 }),
        async ([name, value], at, how) => {
          const proof: Record<string, string> = {
            ...(await signatureHeaders(keys, how === 2 ? other : body, Date.now())),
          };
          const sent = Buffer.from(how === 2 ? other : body);
          if (how === 0) {
            fc.pre(value !== proof[name]);
            if (value === undefined) delete proof[name];
            else proof[name] = value;
          }
          if (how === 1) sent[at] = (sent[at] ?? 0) ^ 1;
          server.answer = answerWith(sent, proof);
          for (const call of calls) {
            const error = await typed(call);
            assert.ok(error instanceof WechatPayError && error.outcome === 'unknown', String(error));
          }
        },
      ),
      runs(60),
    );
    server.answer = answerWith(body, await signatureHeaders(keys, body, Date.now()));
    for (const call of calls) assert.equal(((await typed(call)) as Answer).policy.out_insurance_no, NUMBER);
  });

  it('a signed policy that nests without end is none', async () => {
    const whole = JSON.stringify(SEED).replace('{', `{"deep":${nested(1000)},`);
    server.answer = await signed('HTTP/1.1 200 OK', Buffer.from(whole));
    for (const call of calls) {
      const error = await typed(call);
      assert.ok(error instanceof WechatPayError && error.reason === 'not-a-policy', String(error));
    }
  });

  it('a number that would lead elsewhere is refused before anything is sent', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('.', '..', '', '/', '\ud800')),
        async (no) => {
          server.answer = await signed('HTTP/1.1 200 OK', Buffer.from(JSON.stringify({ out_insurance_no: no })));
          const answer = await wechatpay.queryPolicy(no).catch((error: unknown) => error);
          const expected = answer instanceof RuleViolation || answer instanceof WechatPayError;
          assert.ok(expected || (answer as { policy: PolicyFields }).policy.out_insurance_no === no, String(answer));
        },
      ),
      runs(60),
    );
  });
});
