import assert from 'node:assert/strict';
import { mkdtempSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { InvalidSetting } from '../client/errors.ts';
import { type Gateway, startGateway } from '../gateway/server.ts';
import { type Servers, serversOf } from '../gateway/servers.ts';
import { newToken, Tokens } from '../gateway/tokens.ts';
import { until } from './client_namespace.ts';
import { CommandLine } from './command_process.ts';
import { MCHID } from './fixtures.ts';
import { type Asking, ask, logOf, TokensFile } from './gateway_fixture.ts';

/** Nothing listens there: who may ask is decided before any server is. */
const NOWHERE = { TEMPORAL_ADDRESS: '127.0.0.1:9', MONGODB_URI: 'mongodb://127.0.0.1:9/none' };
const directory = mkdtempSync(join(tmpdir(), 'policy-sync-tokens-'));
const { lines, log } = logOf();
let servers: Servers;
let tokens: TokensFile;
let gateway: Gateway;
let open: Gateway;
before(async () => {
  servers = await serversOf(NOWHERE);
  tokens = new TokensFile(directory);
  gateway = await startGateway({ servers, tokensFile: tokens.path, log });
  open = await startGateway({ servers, log });
});
after(async () => {
  await Promise.all([gateway?.close(), open?.close()]);
  await servers?.close();
});

/** Status and rule; a token that was let in finds no server. */
async function asked(words: string, asking: Asking = {}, url = gateway.url): Promise<[number, string | undefined]> {
  const { status, body } = await ask(url, words, asking);
  return [status, body?.rule];
}

const IN = [503, 'unavailable'];
const AT = `/policies/${MCHID}/A1`;

/** A new token counts within a second. */
async function isIn(token: string): Promise<void> {
  await until(async () => (await asked('GET /me', { token }))[0] === 200);
}

describe('a gateway with tokens', { concurrency: true }, () => {
  it('refuses none, a wrong one, one that is cut, and another scheme: 401', async () => {
    const token = tokens.add('core');
    await isIn(token);
    assert.deepEqual(await asked(`GET ${AT}`, { token }), IN);
    for (const authorization of ['', `Bearer ${token}x`, `Bearer ${token.slice(1)}`, `Basic ${token}`, 'Bearer']) {
      const { status, body, headers } = await ask(gateway.url, `GET ${AT}`, { headers: { authorization } });
      assert.deepEqual([status, body.rule, headers.get('www-authenticate')], [401, 'token', 'Bearer'], authorization);
    }
  });

  it('lets each do what its roles say, and no more: 403', async () => {
    const roles = {
      read: tokens.add('r', ['read']),
      write: tokens.add('w', ['write']),
      operate: tokens.add('o', ['operate']),
    };
    await isIn(roles.read);
    const asks: [string, keyof typeof roles][] = [
      [`GET ${AT}`, 'read'],
      [`GET ${AT}/calls`, 'read'],
      ['GET /policies', 'read'],
      ['GET /counts', 'read'],
      ['GET /attention', 'read'],
      [`PUT ${AT}`, 'write'],
      [`POST ${AT}/cancel`, 'write'],
      [`POST ${AT}/accept`, 'operate'],
      [`POST ${AT}/hold`, 'operate'],
      [`POST ${AT}/verify`, 'operate'],
    ];
    const tried = asks.flatMap((one) => Object.entries(roles).map(([role, token]) => ({ one, role, token })));
    await Promise.all(
      tried.map(async ({ one: [words, needed], role, token }) => {
        const [status, rule] = await asked(words, { token });
        if (role === needed) assert.ok(status === 503 || status === 422, `${words} by ${role}: ${status}`);
        else assert.deepEqual([status, rule], [403, 'role'], `${words} by ${role}`);
      }),
    );
    assert.deepEqual(await asked(`GET ${AT}?reveal=true`, { token: roles.read }), IN, 'not known yet whose policy');
  });

  it('lets each at its merchants only', async () => {
    const token = tokens.add('one', ['read', 'write'], [MCHID]);
    await isIn(token);
    const other = '/policies/1900000002/A1';
    for (const words of [`GET ${other}`, `PUT ${other}`, `POST ${other}/cancel`, `GET ${other}/plan`])
      assert.deepEqual(await asked(words, { token }), [403, 'merchant'], words);
    for (const words of [
      'GET /policies?mchid=1900000002',
      'GET /counts?mchid=1900000002',
      'GET /attention?mchid=1900000002',
    ])
      assert.deepEqual(await asked(words, { token }), [403, 'merchant'], words);
    const own = [`GET ${AT}`, 'GET /policies'].map((words) => asked(words, { token }));
    assert.deepEqual(await Promise.all(own), [IN, IN]);
    const { body } = await ask(gateway.url, 'GET /me', { token });
    assert.deepEqual(body, { name: 'one', merchants: [MCHID], roles: ['read', 'write'] });
  });

  it('goes on with what was where the folder of the file is gone, and says so in a line', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'policy-sync-tokens-'));
    const { token, entry } = newToken({ name: 'one', merchants: '*', roles: ['read'] });
    const file = join(folder, 'inner', 'tokens.json');
    await mkdir(join(folder, 'inner'));
    await writeFile(file, JSON.stringify(entry));
    const told: string[] = [];
    const known = new Tokens(file, (fault) => told.push(fault));
    await rm(join(folder, 'inner'), { recursive: true });
    await writeFile(join(folder, 'inner'), '');
    await delay(1_100);
    for (const _ of [1, 2]) assert.equal(known.whose(token)?.name, 'one');
    assert.deepEqual(told, [
      `POLICY_SYNC_TOKENS: expected a JSON file of tokens at ${file}, found ENOTDIR; what was goes on`,
    ]);
    const starts = () => new Tokens(file, () => {});
    assert.throws(starts, { name: 'InvalidSetting', message: /^POLICY_SYNC_TOKENS: [^\n]+ENOTDIR$/ });
    await rm(folder, { recursive: true });
  });

  it('keeps hashes alone, and writes no token into its log', async () => {
    const token = tokens.add('hashed');
    await isIn(token);
    assert.ok(!tokens.text.includes(token));
    assert.ok(!lines.join('').includes(token.slice(3)));
    assert.ok(lines.some((line) => line.includes('"by":"hashed"')));
  });

  it('takes no request of a page of another origin, though it needs no leave of the browser', async () => {
    const token = tokens.add('page');
    await isIn(token);
    const own = { origin: gateway.url };
    assert.deepEqual(await asked(`GET ${AT}`, { token, headers: own }), IN);
    for (const origin of ['https://elsewhere.example', 'null', 'http://127.0.0.1:1'])
      assert.deepEqual(await asked(`POST ${AT}/cancel`, { token, headers: { origin } }), [403, 'origin'], origin);
  });
});

describe('a gateway without tokens', () => {
  it('lets this machine do all', async () => {
    assert.deepEqual(await asked(`GET ${AT}`, {}, open.url), IN);
    assert.deepEqual((await ask(open.url, 'GET /me')).body.merchants, '*');
  });

  it('answers to no other name', async () => {
    const { port } = new URL(open.url);
    const status = await new Promise((resolve, reject) => {
      const asking = httpRequest(
        { port, host: '127.0.0.1', path: '/me', headers: { host: 'elsewhere.example' } },
        (answer) => resolve(answer.statusCode),
      );
      asking.on('error', reject).end();
    });
    assert.equal(status, 403);
  });

  it('listens on loopback only', async () => {
    await assert.rejects(startGateway({ servers, host: '0.0.0.0', log }), InvalidSetting);
  });
});

describe('the gateway itself', { concurrency: true }, () => {
  it('takes an edit of its tokens within seconds; one that is none keeps what was, and is told in a line', async (context) => {
    const tokens = new TokensFile(directory);
    const edited = await startGateway({ servers, tokensFile: tokens.path, log });
    context.after(() => edited.close());
    const statusOf = async (token: string) => (await ask(edited.url, 'GET /me', { token })).status;
    const [gone, next] = [tokens.add('gone'), tokens.add('next')];
    await until(async () => (await statusOf(gone)) === 200);
    tokens.remove('gone');
    await until(async () => (await statusOf(gone)) === 401);
    await until(async () => (await statusOf(next)) === 200);
    const { text } = tokens;
    const hash = /"sha256":"(\w+)"/.exec(text)?.[1] ?? '';
    for (const bad of ['{"core"', '[]', text.replace(hash, 'A TOKEN PASTED')]) {
      const before = lines.length;
      const told = () => lines.slice(before).filter((line) => line.includes('what was goes on'));
      tokens.write(bad);
      await until(async () => (await statusOf(next)) === 200 && told().length > 0);
      await statusOf(next);
      assert.equal(told().length, 1, bad);
      assert.match(told()[0] ?? '', /"msg":"POLICY_SYNC_TOKENS: [^\n]+; what was goes on"/);
      assert.ok(!told()[0]?.includes('PASTED'));
    }
    tokens.write(text);
  });

  it('lives while neither server answers, and is not ready', async () => {
    assert.deepEqual((await ask(gateway.url, 'GET /healthz')).body, { ok: true });
    const { status, body } = await ask(gateway.url, 'GET /readyz');
    assert.deepEqual([status, body], [503, { ok: false, away: ['temporal', 'mongodb'] }]);
  });

  it('says when to ask again, and nothing of where its servers are', async () => {
    const { headers, text } = await ask(open.url, `GET ${AT}`);
    assert.equal(headers.get('retry-after'), '2');
    assert.ok(!text.includes('127.0.0.1'), text);
  });

  it('answers a problem to what is no HTTP', async () => {
    const { port, hostname } = new URL(gateway.url);
    const socket = connect(Number(port), hostname);
    socket.end('NONSENSE / HTTP/9\r\n\r\n');
    const answer = await text(socket);
    assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\nContent-Type: application\/problem\+json\r\n/);
    assert.match(answer, /"rule":"request"/);
  });

  it('has pages and answers kept from others: headers', async () => {
    const { headers } = await ask(open.url, 'GET /healthz');
    assert.equal(headers.get('content-security-policy'), "default-src 'none'");
    assert.equal(headers.get('x-content-type-options'), 'nosniff');
    assert.equal(headers.get('cache-control'), 'no-store');
    const page = await ask(open.url, 'GET /docs/');
    assert.equal(page.status, 200);
    assert.ok(!/https?:\/\//.test(page.text), 'it asks nobody else for anything');
  });
});

describe('the commands serve and token', () => {
  const line = new CommandLine();
  after(() => line.end());

  it('refuses to be open to others without tokens, and a file that is none', async () => {
    const open = await line.run(['serve', '--host', '0.0.0.0'], { ...NOWHERE, POLICY_SYNC_TOKENS: undefined });
    assert.equal(open.code, 1);
    assert.match(
      open.stderr,
      /^policy-sync: POLICY_SYNC_TOKENS: expected a file of tokens, to listen on 0\.0\.0\.0[^\n]+\n$/,
    );
    const none = await line.run(['serve', '--tokens', '/nowhere'], NOWHERE);
    assert.equal(none.code, 1);
    assert.match(
      none.stderr,
      /^policy-sync: POLICY_SYNC_TOKENS: expected a JSON file of tokens at \/nowhere, found ENOENT\n$/,
    );
  });

  it('needs MongoDB, and says so', async () => {
    const { code, stderr } = await line.run(['serve'], { ...NOWHERE, MONGODB_URI: undefined });
    assert.equal(code, 1);
    assert.match(stderr, /^policy-sync: MONGODB_URI: expected mongodb:[^\n]+, found nothing\n$/);
  });

  it('makes a token and its entry, and refuses a name or a role that there is not', async () => {
    const { stdout } = await line.run(['token', 'core', '--merchants', MCHID, '--roles', 'read,operate', '--json']);
    const { token, entry } = JSON.parse(stdout);
    assert.match(token, /^ps_[\w-]{43}$/);
    assert.deepEqual([entry.core.merchants, entry.core.roles], [[MCHID], ['read', 'operate']]);
    assert.match(entry.core.sha256, /^[0-9a-f]{64}$/);
    for (const words of [['a b'], ['core', '--roles', 'all'], ['core', '--merchants', '1']]) {
      const { code, stderr } = await line.run(['token', ...words]);
      assert.equal(code, 2);
      assert.match(stderr, /^policy-sync: token: [^\n]+: expected (?!another)[^\n]+\n$/);
    }
  });
});
