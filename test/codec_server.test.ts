import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { describe, it } from 'node:test';
import { pino } from 'pino';
import { payloadCodec } from '../codec/payload_codec.ts';
import { startCodecServer } from '../codec/server.ts';
import { originsOf } from '../command/story/ui_origins.ts';
import {
  base64,
  bearer,
  jsonPayload,
  keyring,
  post,
  READER,
  sealedPayload,
  servers,
  textOf,
  tokens,
  toldOf,
  UI,
  vector,
  WRITER,
} from './codec_server_fixture.ts';

const { started, closers } = servers();
const open = started();
const guarded = started({ tokens });

describe('the codec server converts by Temporal’s protocol', () => {
  it('opens the test vector of docs/sealing.md', async () => {
    const { status, payloads } = await post(await open, '/decode', { payloads: [sealedPayload()] });
    assert.equal(status, 200);
    assert.deepEqual(payloads, [{ metadata: { encoding: base64('json/plain') }, data: base64(vector.payload.data) }]);
  });

  it('seals what a worker opens, and opens it again', async () => {
    const value = { cause: 'SURRENDER', reason: '退保' };
    const { payloads } = await post(await open, '/encode', { payloads: [jsonPayload(value), jsonPayload(1)] });
    assert.deepEqual(
      payloads.map(({ metadata }) => textOf(metadata?.['encryption-key-id'])),
      ['k1', 'k1'],
    );
    const bytes = payloads.map(({ metadata = {}, data = '' }) => ({
      metadata: Object.fromEntries(Object.entries(metadata).map(([name, text]) => [name, Buffer.from(text, 'base64')])),
      data: Buffer.from(data, 'base64'),
    }));
    const [opened] = await payloadCodec(keyring, { allowPlain: false }).decode(bytes);
    assert.deepEqual(JSON.parse(Buffer.from(opened?.data ?? '').toString()), value);
    const again = await post(await open, '/decode', { payloads });
    assert.deepEqual(again.payloads, [jsonPayload(value), jsonPayload(1)]);
  });

  it('looks at the last part of the path alone, and at no query', async () => {
    for (const path of ['/default/decode', '/codec/my.namespace/decode', '/decode?preserveStorageRefs=true'])
      assert.equal((await post(await open, path, { payloads: [sealedPayload()] })).payloads.length, 1, path);
  });

  it('leaves what is in the clear as it is, and nothing as nothing', async () => {
    const payloads = [jsonPayload('x'), { metadata: { encoding: base64('binary/null') } }];
    assert.deepEqual((await post(await open, '/decode', { payloads })).payloads, payloads);
    assert.equal((await post(await open, '/decode', { payloads: [] })).status, 200);
    assert.deepEqual(JSON.parse((await post(await open, '/encode', {})).text), {});
  });

  it('says in place of a payload why it does not open, and opens the others', async () => {
    const broken = sealedPayload('k1', base64(`\u0001${'x'.repeat(40)}`));
    const { payloads } = await post(await open, '/decode', {
      payloads: [sealedPayload('k2'), broken, sealedPayload()],
    });
    assert.deepEqual(
      payloads.map(({ metadata }) => textOf(metadata?.encoding)),
      Array(3).fill('json/plain'),
    );
    const [unknown, changed, opened] = payloads.map(({ data }) => JSON.parse(textOf(data)));
    assert.equal(unknown, 'no key "k2" to open a sealed value: add it to POLICY_SYNC_KEYS, after the first');
    assert.match(changed, /^a value sealed with key "k1" does not open: it was changed/);
    assert.equal(opened, JSON.parse(vector.payload.data));
  });

  it('refuses in one line what is not Temporal’s Payloads, and quotes nothing of it', async () => {
    const wrong = [
      '{"payloads": "张三',
      '{"payloads": "张三"}',
      '{"payloads": [1]}',
      '[]',
      '{"payload": []}',
      'null',
      '',
      '{"payloads": [{"data": "%"}]}',
      // Whatever has a length is bytes to protobufjs: at 3e9 these few characters end the process.
      '{"payloads": [{"data": {"length": 3e5}}]}',
      '{"payloads": [{"metadata": {"encoding": {"length": 3e5}}}]}',
      '{"payloads": [{"data": [1]}]}',
    ];
    for (const body of wrong) {
      const { status, text } = await post(await open, '/decode', body);
      assert.equal(status, 400, body);
      assert.match(text, /^expected Temporal’s Payloads as JSON: .*\n$/, body);
      assert.doesNotMatch(text, /张三/);
    }
  });

  it('refuses a body above 8 MiB', async () => {
    const { status, text } = await post(await open, '/decode', `{"payloads": [${' '.repeat(8 * 1024 * 1024)}]}`);
    assert.deepEqual([status, text], [413, 'too large: 8 MiB at most\n']);
  });

  it('knows no other path and no other method', async () => {
    assert.equal((await post(await open, '/decoded', {})).status, 404);
    assert.equal((await fetch(`${(await open).url}/decode`)).status, 404);
  });

  it('logs what was asked, and neither payloads nor tokens', async () => {
    const server = await started({ tokens });
    await post(server, '/decode', { payloads: [sealedPayload()] }, { ...bearer(READER), 'X-Namespace': 'policies' });
    await post(server, '/decode', { payloads: [sealedPayload()] }, bearer('a-token-of-a-stranger'));
    const told = await toldOf(server, 2);
    assert.deepEqual(
      told.map(({ verb, namespace, by, payloads, status }) => ({ verb, namespace, by, payloads, status })),
      [
        { verb: 'decode', namespace: 'policies', by: 'token', payloads: 1, status: 200 },
        { verb: 'decode', namespace: undefined, by: undefined, payloads: undefined, status: 401 },
      ],
    );
    for (const secret of [READER, 'stranger', vector.sealed.slice(0, 20), 'cancelled'])
      assert.ok(!server.lines.join().includes(secret), secret);
  });
});

describe('the codec server asks for a token', () => {
  const body = { payloads: [jsonPayload('x')] };
  const status = async (path: string, headers?: Record<string, string>) =>
    (await post(await guarded, path, body, headers)).status;

  it('takes each of the tokens set for what is asked', async () => {
    for (const token of tokens.decode) assert.equal(await status('/decode', bearer(token)), 200);
    assert.equal(await status('/default/encode', bearer(WRITER)), 200);
  });

  it('refuses none, a wrong one, a longer and a shorter one, and another scheme', async () => {
    assert.equal(await status('/decode'), 401);
    for (const wrong of [READER.replace('a', 'b'), `${READER}x`, READER.slice(1), 'x', ''])
      assert.equal(await status('/decode', bearer(wrong)), 401, wrong);
    assert.equal(await status('/decode', { authorization: `Basic ${base64(READER)}` }), 401);
    assert.equal(await status('/decode', { authorization: READER }), 401);
  });

  it('refuses the token of readers to seal, and that of writers to open', async () => {
    assert.equal(await status('/encode', bearer(READER)), 401);
    assert.equal(await status('/decode', bearer(WRITER)), 401);
  });

  it('closes what no token was set for', async () => {
    const readersOnly = await started({ tokens: { decode: [READER] } });
    const { status, text } = await post(readersOnly, '/encode', body, bearer(READER));
    assert.deepEqual([status, text], [403, 'nobody may ask for this here: no token was set for it\n']);
  });

  it('is asked before the body is read', async () => {
    // None of it is sent: what waited for it would never answer.
    const headers = { 'content-type': 'application/json', 'content-length': '9000000' };
    assert.equal(await statusOf(`${(await guarded).url}/decode`, headers, { flush: true }), 401);
  });

  it('or listens on loopback only, and answers to no other name', async () => {
    await assert.rejects(started({ host: '0.0.0.0' }), /without a token it listens on 127\.0\.0\.1 only/);
    const { url } = await open;
    for (const host of ['rebound.example.com', '127.0.0.1.example.com'])
      assert.equal(await statusOf(`${url}/decode`, { host }), 403, host);
    // Elsewhere that address has to be set up first.
    if (process.platform !== 'linux') return;
    const elsewhere = await started({ host: '127.0.0.2' });
    assert.equal((await post(elsewhere, '/decode', { payloads: [] })).status, 200);
  });
});

describe('the codec server lets pages ask', () => {
  const preflight = async (origin: string) =>
    fetch(`${(await guarded).url}/default/decode`, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type,x-namespace',
      },
    });

  it('of the UI: the preflight needs no token and allows its headers', async () => {
    const { status, headers } = await preflight(UI);
    assert.equal(status, 204);
    assert.equal(headers.get('access-control-allow-origin'), UI);
    assert.equal(headers.get('access-control-allow-credentials'), 'true');
    assert.match(headers.get('access-control-allow-methods') ?? '', /POST/);
    for (const name of ['authorization', 'content-type', 'x-namespace', 'authorization-extras'])
      assert.ok(headers.get('access-control-allow-headers')?.toLowerCase().includes(name), name);
  });

  it('of the UI: also an answer that refuses can be read by it', async () => {
    const refused = await post(await guarded, '/decode', { payloads: [] }, { origin: UI });
    assert.deepEqual([refused.status, refused.headers.get('access-control-allow-origin')], [401, UI]);
  });

  it('of the UI of npm start by either name of this machine', async () => {
    const { url, close } = await startCodecServer({
      keyring,
      uiOrigins: originsOf('http://127.0.0.1:8233'),
      log: pino({ level: 'silent' }),
    });
    closers.push(close);
    for (const origin of ['http://127.0.0.1:8233', 'http://localhost:8233']) {
      const { status, headers } = await post({ url, close }, '/decode', { payloads: [sealedPayload()] }, { origin });
      assert.deepEqual([status, headers.get('access-control-allow-origin')], [200, origin]);
    }
    const { status } = await post({ url, close }, '/decode', { payloads: [] }, { origin: 'http://localhost:8234' });
    assert.equal(status, 403);
    assert.deepEqual(originsOf('https://ui.example.com/x'), ['https://ui.example.com']);
  });

  it('of no other origin: no header, and nothing is opened', async () => {
    for (const origin of ['https://evil.example.com', 'null', `${UI}.evil.com`, 'http://ui.test']) {
      assert.equal((await preflight(origin)).headers.get('access-control-allow-origin'), null, origin);
      const { status, headers } = await post(await open, '/decode', { payloads: [sealedPayload()] }, { origin });
      assert.deepEqual([status, headers.get('access-control-allow-origin')], [403, null], origin);
    }
  });
});

/** Of a request as no `fetch` makes one; with `flush` its headers alone. */
async function statusOf(url: string, headers: Record<string, string>, { flush = false } = {}): Promise<unknown> {
  const asked = request(url, { method: 'POST', headers });
  if (flush) asked.flushHeaders();
  else asked.end();
  const [response] = (await once(asked, 'response')) as [IncomingMessage];
  asked.destroy();
  return response.statusCode;
}
