import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { after, before, beforeEach, describe, it } from 'node:test';
import fc from 'fast-check';
import { anyJson, brokenBytes, isUnpolluted, type Json, mutated, STRANGE_NAMES } from './fuzz_arbitraries.ts';
import { type Bench, POLICIES, REGULAR, startBench, UPLOAD } from './sandbox_calls.ts';

const runs = (numRuns: number) => ({ numRuns, endOnFailure: true });
const NUMBER = REGULAR.out_insurance_no;

const FAULTS = [
  { match: { method: 'GET', out_insurance_no: NUMBER }, times: 1, do: { status: 500, code: 'SYSTEM_ERROR' } },
  { match: {}, probability: 1, do: { delay_ms: 1 } },
  { do: { status: 429, code: 'X', message: 'm', retry_after: 1, unsigned: true, forge: 'serial', effect: true } },
  { do: { status: 200, body: 'b', headers: { 'Content-Type': 'text/html', 'X-Y': 'z' }, signed: true, delay_ms: 1 } },
  { do: { drop: 'after' } },
  { do: { forge: 'timestamp' } },
  { do: { truncate: true } },
  { do: { redirect: 'http://127.0.0.1:9/', effect: true } },
  { do: { answer_of: 'P2' } },
  { do: { names: 'unreadable' } },
] as const;

const HEADERS = [
  ...['Trailer', 'Upgrade', 'Keep-Alive', 'Date', 'Set-Cookie', 'Content-Encoding', 'Content-Type', 'Expect', 'TE'],
  ...['Location', 'Retry-After', 'Request-ID', 'Wechatpay-Signature', 'Wechatpay-Serial', 'constructor', '__proto__'],
  ...['Transfer-Encoding', 'Content-Length', 'Connection', 'Host', 'HTTP2-Settings', 'Vary', 'Link', 'Cache-Control'],
];

/** A rule with a fault in its action, or in itself. */
const faultRule: fc.Arbitrary<Json> = fc.oneof(
  { arbitrary: fc.constantFrom(...FAULTS).chain((rule) => mutated(rule)), weight: 2 },
  { arbitrary: fc.constantFrom(...FAULTS).chain((rule) => mutated(rule, 'do')), weight: 3 },
  { arbitrary: anyJson, weight: 1 },
);

describe('the sandbox, given anything', () => {
  let bench: Bench;
  before(async () => {
    bench = await startBench({ strict: true });
  });
  beforeEach(async () => {
    await bench.faults();
    await bench.put({ ...REGULAR });
  });
  after(() => bench.close());

  /** Answered, and if refused then with a code and a message of one line. */
  async function answered(path: string, init: RequestInit): Promise<number> {
    const response = await fetch(bench.sandbox.url + path, { ...init, redirect: 'manual' });
    const body = await response.text();
    const shown = `${init.method} ${path}: ${response.status} ${body.slice(0, 300)}`;
    assert.ok(response.status < 500, shown);
    if (response.status >= 400 && init.method !== 'HEAD') {
      const { code, message } = JSON.parse(body);
      assert.ok(typeof code === 'string' && typeof message === 'string' && message !== '', shown);
    }
    assert.ok(isUnpolluted());
    return response.status;
  }

  /** A policy is updated and queried as if nothing had been. */
  async function works(): Promise<void> {
    await bench.faults();
    await bench.put({ ...REGULAR });
    const { status, json } = await bench.patch(NUMBER, { policy_state: 'POLICY_STATE_APPROVED', policy_code: 'C1' });
    assert.deepEqual([status, json.policy_code], [200, 'C1'], JSON.stringify(json));
    assert.equal((await bench.query(NUMBER)).status, 200);
  }

  /** A query ends as its fault asks for, if it ends; one that is delayed for minutes is given up. */
  async function isAsAskedFor(wanted: number | undefined): Promise<void> {
    const signal = AbortSignal.timeout(300);
    const asked = await bench.call('GET', `${POLICIES}/${NUMBER}`, undefined, { signal }).catch(() => undefined);
    assert.ok(asked === undefined || asked.status < 500 || asked.status === wanted, asked?.text);
  }

  it('takes or refuses fault rules, and has every one that it took happen', async () => {
    await fc.assert(
      fc.asyncProperty(faultRule, fc.boolean(), async ({ text: rule }, replace) => {
        const status = await answered('/_sandbox/faults', { method: replace ? 'PUT' : 'POST', body: `[${rule}]` });
        const [taken] = (await bench.control<{ do: { status?: number } }[]>('GET', '/faults')).json;
        await isAsAskedFor(taken?.do.status);
        if (status === 400) assert.ok(!taken || !replace);
        await bench.faults();
      }),
      runs(50),
    );
    await works();
  });

  it('takes no header that would break an answer', async () => {
    for (const name of HEADERS)
      for (const value of ['', '1', 'gzip', 'a, b', 'two\nlines', '险']) {
        const rule = `{"do":{"status":200,"body":"b","headers":{${JSON.stringify(name)}:${JSON.stringify(value)}}}}`;
        await answered('/_sandbox/faults', { method: 'PUT', body: `[${rule}]` });
        await isAsAskedFor(undefined);
        await bench.faults();
      }
    await works();
  });

  it('takes any fault rule by its bytes, or refuses it', async () => {
    await fc.assert(
      fc.asyncProperty(brokenBytes(FAULTS), async (body) => {
        await answered('/_sandbox/faults', { method: 'PUT', body: new Uint8Array(body) });
      }),
      runs(40),
    );
    await works();
  });

  it('holds or refuses any policy put in behind the merchant’s back, and answers for it', async () => {
    const policy = fc.oneof({ arbitrary: mutated(REGULAR), weight: 5 }, { arbitrary: anyJson, weight: 1 });
    await fc.assert(
      fc.asyncProperty(policy, fc.constantFrom('PUT', 'PATCH'), async ({ text: body }, method) => {
        await answered(`/_sandbox/policies/${NUMBER}`, { method, body });
        assert.equal((await bench.query(NUMBER)).status, 200);
        await answered('/_sandbox/policies', { method: 'GET' });
        await bench.patch(NUMBER, { coverage_detail: 'x' });
        await bench.put({ ...REGULAR });
      }),
      runs(50),
    );
    await works();
  });

  it('answers any signed update and upload with the policy or a refusal, and a refused one changes nothing', async () => {
    const patch = { ...REGULAR, out_insurance_no: undefined, insured_name_list: undefined };
    const upload = { ...REGULAR, ...UPLOAD, out_insurance_no: 'UP1', insured_name_list: [bench.sealed('张三')] };
    const bodies = fc.oneof(
      mutated(patch).map(({ text: it }) => ['PATCH', `${POLICIES}/${NUMBER}`, it] as const),
      mutated(upload).map(({ text: it }) => ['POST', POLICIES, it] as const),
      anyJson.map(({ text: it }) => ['PATCH', `${POLICIES}/${NUMBER}`, it] as const),
    );
    await fc.assert(
      fc.asyncProperty(bodies, async ([method, path, body]) => {
        await bench.put({ ...REGULAR });
        const before = JSON.stringify((await bench.control('GET', '/policies')).json);
        const { status, json, text: said } = await bench.call(method, path, body);
        assert.ok(status === 200 || (status >= 400 && status < 500), `${status} ${said.slice(0, 300)}`);
        if (status === 200) return;
        assert.ok(typeof json.code === 'string' && typeof json.message === 'string' && json.message !== '', said);
        assert.equal(JSON.stringify((await bench.control('GET', '/policies')).json), before);
      }),
      runs(50),
    );
    await works();
  });

  it('answers any path, method, header and body with a code and a message', async () => {
    const part = fc.oneof(
      fc.string(),
      fc.constantFrom(...STRANGE_NAMES.filter((name) => !/\p{Surrogate}/u.test(name))),
    );
    const path = fc.oneof(
      part.map((it) => `${POLICIES}/${encodeURIComponent(it)}`),
      part.map((it) => `/_sandbox/policies/${encodeURIComponent(it)}`),
      part.map((it) => `/_sandbox/requests?after=${encodeURIComponent(it)}`),
      fc.constantFrom('/', '/%', '/%zz', '/v3/%ff', '/_sandbox', '/_sandbox/', `/${'x'.repeat(5000)}`, '/?a=%'),
      fc.constantFrom(`${POLICIES}/`, `${POLICIES}/%00`, `${POLICIES}/a/b`, '/_sandbox/requests?after=1&after=2'),
      fc.constantFrom('/_sandbox/faults', `/_sandbox/requests?after=${'9'.repeat(400)}`, POLICIES),
    );
    const headers = fc.dictionary(
      fc.constantFrom('Content-Type', 'Authorization', 'Wechatpay-Serial', 'Accept', 'Cookie', 'Expect-CT', 'X-Y'),
      fc.constantFrom(
        '',
        'a',
        ';',
        'application/json; charset=x',
        'WECHATPAY2-SHA256-RSA2048 mchid="',
        'a/b;c="',
        '*/*',
      ),
    );
    const method = fc.constantFrom('GET', 'PUT', 'POST', 'PATCH', 'DELETE', 'OPTIONS', 'HEAD', 'PROPFIND');
    await fc.assert(
      fc.asyncProperty(path, method, headers, brokenBytes(REGULAR), async (at, how, with_, body) => {
        const bare = how === 'GET' || how === 'HEAD';
        await answered(at, { method: how, headers: with_, ...(!bare && { body: new Uint8Array(body) }) });
      }),
      runs(50),
    );
    await works();
  });

  it('outlives bytes that are no HTTP', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.boolean(), async (bytes, begun) => {
        const socket = connect(Number(new URL(bench.sandbox.url).port), '127.0.0.1');
        socket.on('error', () => {});
        socket.end(Buffer.concat([Buffer.from(begun ? `PATCH ${POLICIES}/P1 HTTP/1.1\r\n` : ''), bytes]));
        await text(socket).catch(() => '');
      }),
      runs(40),
    );
    await works();
  });
});
