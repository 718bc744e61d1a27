import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, describe, it } from 'node:test';
import { makeKey } from '../codec/keys.ts';
import { codecSettings } from '../command/codec_settings.ts';
import { COMMAND } from './command_process.ts';

const POLICY_SYNC_KEYS = makeKey('k1');
const READER = 'a-token-of-those-who-read';
const NEXT = 'the-next-token-of-readers';
const WRITER = 'a-token-of-those-who-seal';
const folder = mkdtempSync(join(tmpdir(), 'policy-sync-codec-settings-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(text: string): string {
  const name = join(folder, `${text.length}`);
  writeFileSync(name, text);
  return name;
}

describe('settings of the codec server', () => {
  const of = (env: NodeJS.ProcessEnv) => codecSettings({ POLICY_SYNC_KEYS, ...env });
  const PROVIDER = {
    POLICY_SYNC_CODEC_JWKS: 'https://id.test/jwks',
    POLICY_SYNC_CODEC_ISSUER: 'https://id.test/',
    POLICY_SYNC_CODEC_AUDIENCE: 'temporal',
  };

  it('has the tokens of those who decode and of those who encode apart, each of a setting or of a file', () => {
    const { tokens } = of({
      POLICY_SYNC_CODEC_TOKEN_FILE: file(`${READER}\n${NEXT}\n`),
      POLICY_SYNC_CODEC_ENCODE_TOKEN: WRITER,
    });
    assert.deepEqual(tokens, { decode: [READER, NEXT], encode: [WRITER] });
    assert.deepEqual(of({}).tokens, { decode: [], encode: [] });
  });

  it('has the identity provider, and of a claim name and values', () => {
    assert.equal(of({}).signedIn, undefined);
    const provided = { jwks: new URL('https://id.test/jwks'), issuer: 'https://id.test/', audience: 'temporal' };
    assert.deepEqual(of(PROVIDER).signedIn, provided);
    assert.deepEqual(of({ ...PROVIDER, POLICY_SYNC_CODEC_CLAIM: 'groups=a=b,c' }).signedIn, {
      ...provided,
      claim: { name: 'groups', values: ['a=b', 'c'] },
    });
  });

  const refused: [string, NodeJS.ProcessEnv, RegExp][] = [
    ['no payload keys', { POLICY_SYNC_KEYS: undefined }, /^POLICY_SYNC_KEYS: /],
    ['a token that is empty', { POLICY_SYNC_CODEC_TOKEN: '' }, /^POLICY_SYNC_CODEC_TOKEN: .*empty/],
    ['a file without a token', { POLICY_SYNC_CODEC_TOKEN_FILE: file('\n') }, /^POLICY_SYNC_CODEC_TOKEN: .*empty/],
    ['a file that is not there', { POLICY_SYNC_CODEC_TOKEN_FILE: '/nowhere' }, /_TOKEN_FILE: .*ENOENT at \/nowhere$/],
    [
      'a token that is short',
      { POLICY_SYNC_CODEC_ENCODE_TOKEN: 'guessed' },
      /^POLICY_SYNC_CODEC_ENCODE_TOKEN: .*fewer$/,
    ],
    [
      'a token and a file',
      { POLICY_SYNC_CODEC_TOKEN: READER, POLICY_SYNC_CODEC_TOKEN_FILE: file(READER) },
      /^POLICY_SYNC_CODEC_TOKEN: .*found both$/,
    ],
    ['a provider without an audience', { ...PROVIDER, POLICY_SYNC_CODEC_AUDIENCE: undefined }, /_AUDIENCE: .*nothing$/],
    ['a claim by itself', { POLICY_SYNC_CODEC_CLAIM: 'groups=readers' }, /^POLICY_SYNC_CODEC_JWKS: .*nothing$/],
    ['a claim without a value', { ...PROVIDER, POLICY_SYNC_CODEC_CLAIM: 'groups' }, /^POLICY_SYNC_CODEC_CLAIM: /],
    [
      'a log level that is none',
      { POLICY_SYNC_LOG_LEVEL: 'loud' },
      /^POLICY_SYNC_LOG_LEVEL: expected debug, .*"loud"$/,
    ],
  ];
  for (const [what, env, told] of refused)
    it(`refuses ${what} in a line that names the setting and no secret`, () => {
      assert.throws(
        () => of(env),
        ({ message }: Error) => {
          assert.match(message, told);
          for (const secret of [READER, 'guessed', POLICY_SYNC_KEYS]) assert.ok(!message.includes(secret), message);
          return true;
        },
      );
    });
});

describe('policy-sync codec-server', () => {
  it('asks for the tokens that it was given, and lets the pages of --ui-origin ask', async () => {
    const server = spawn(process.execPath, [COMMAND, 'codec-server', '--ui-origin', 'https://ui.test/'], {
      env: {
        ...process.env,
        POLICY_SYNC_KEYS,
        POLICY_SYNC_CODEC_TOKEN_FILE: file(READER),
        POLICY_SYNC_CODEC_ENCODE_TOKEN: WRITER,
      },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      const [line] = await Promise.race([
        once(createInterface({ input: server.stdout }), 'line'),
        once(server, 'exit'),
      ]);
      const { url } = JSON.parse(String(line));
      const status = async (verb: string, token?: string, origin = 'https://ui.test'): Promise<number> => {
        const authorization = token && { authorization: `Bearer ${token}` };
        const headers = { 'content-type': 'application/json', origin, ...authorization };
        return (await fetch(`${url}/${verb}`, { method: 'POST', headers, body: '{"payloads": []}' })).status;
      };
      assert.deepEqual(await Promise.all([status('decode', READER), status('encode', WRITER)]), [200, 200]);
      assert.deepEqual(await Promise.all([status('decode'), status('decode', WRITER)]), [401, 401]);
      assert.deepEqual(await Promise.all([status('encode'), status('encode', READER)]), [401, 401]);
      assert.equal(await status('decode', READER, 'https://ui.test.evil.example'), 403);
    } finally {
      server.kill();
    }
  });
});
