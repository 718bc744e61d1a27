import assert from 'node:assert/strict';
import { chmod, copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { KeysFolderError, makeKeys, merchantsFile } from '../sandbox/keys.ts';
import { Merchants } from '../worker/merchants.ts';
import { policySync } from './command_process.ts';
import { keysIn } from './made_keys.ts';

// What each fault of a key file reads like is in wechatpay_merchants_faults.test.ts; here: what becomes of it in a worker.
interface Merchant {
  merchant_keys: [{ serial_no: string; private_key_file: string; certificate_file: string }];
  wechatpay_keys: [{ id: string; public_key_file: string }];
}

const MCHID = '1900000001';
let directory: string;
let merchant: Merchant;
let secrets: string[];
let lines: string[];

const add = (fields: object | string, message?: string): void => void lines.push(JSON.stringify([fields, message]));
const log = { debug: add, info: add, warn: add, error: add } as never;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'policy-sync-key-faults-'));
  const keys = await makeKeys(await keysIn(join(directory, 'keys')));
  await makeKeys(join(directory, 'others'));
  merchant = merchantsFile(keys, join(directory, 'keys'), 'http://127.0.0.1:9')[MCHID] as Merchant;
  const pems = ['keys', 'others'].map((dir) => readFile(join(directory, dir, 'merchant_private_key.pem'), 'utf8'));
  secrets = (await Promise.all(pems)).flatMap((pem) => pem.split('\n').filter((line) => line.length === 64));
});
after(() => rm(directory, { recursive: true, force: true }));

/** A worker's merchants, of a file in which the one key is replaced. */
async function load(privateKeyFile: string): Promise<Merchants> {
  lines = [];
  const [key] = merchant.merchant_keys;
  const file = join(directory, 'merchants.json');
  const settings = { ...merchant, merchant_keys: [{ ...key, private_key_file: privateKeyFile }] };
  await writeFile(file, JSON.stringify({ [MCHID]: settings }), { mode: 0o600 });
  const merchants = new Merchants(file, log);
  await merchants.load();
  return merchants;
}

function assertShowable(): void {
  for (const line of lines) {
    assert.doesNotMatch(line, /\\n|BEGIN|\bat .*:\d+:\d+/);
    for (const secret of secrets) assert.ok(!line.includes(secret));
  }
}

const own = (name: string): string => join(directory, 'keys', name);

describe('a private key that cannot be used: its merchant is held, and one line of the log says what to do', () => {
  const cases: [string, () => Promise<string> | string, RegExp][] = [
    ['missing', () => own('none.pem'), /private_key_file: expected a readable file at .*none\.pem, found none/],
    ['no PEM', () => own('api_v3_key.txt'), /private_key_file: expected an RSA private key in PEM.*found no PEM/],
    [
      'a public key',
      async () => {
        await writeFile(own('public.pem'), await readFile(own('wechatpay_public_key.pem')), { mode: 0o600 });
        return own('public.pem');
      },
      /expected an RSA private key.*found PUBLIC KEY/,
    ],
    [
      'another merchant’s',
      () => join(directory, 'others', 'merchant_private_key.pem'),
      /certificate_file: expected the certificate of merchant_keys\.0\.private_key_file, found another key's/,
    ],
    [
      'everybody’s to write',
      async () => {
        await copyFile(own('merchant_private_key.pem'), own('open.pem'));
        await chmod(own('open.pem'), 0o666);
        return own('open.pem');
      },
      /expected a file that others cannot write, found mode 666: chmod 600 .*open\.pem/,
    ],
  ];
  for (const [what, file, says] of cases)
    it(what, async () => {
      const merchants = await load(await file());
      assert.equal(merchants.client(MCHID), undefined);
      assert.deepEqual(
        merchants.held().map(({ mchid, reason }) => [mchid, reason]),
        [[MCHID, 'unusable-settings']],
      );
      assert.match(merchants.held()[0]?.message ?? '', says);
      assert.equal(lines.length, 1, lines.join('\n'));
      assert.match(lines[0] ?? '', says);
      assert.match(lines[0] ?? '', /WECHATPAY_MERCHANTS: 1900000001\..*calls are held until they are set right/);
      assertShowable();
    });
});

describe('a private key that others can read', () => {
  it('is warned of by the command that mends it, and no more once that was done', async () => {
    const file = own('read.pem');
    await copyFile(own('merchant_private_key.pem'), file);
    await chmod(file, 0o644);
    const merchants = await load(file);
    assert.ok(merchants.client(MCHID));
    const warnings = lines.filter((line) => line.includes('chmod'));
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /private_key_file: .*found mode 644: chmod 600 .*read\.pem/);
    assertShowable();
    lines = [];
    await chmod(file, 0o600);
    await merchants.look();
    assert.deepEqual(lines, []);
  });

  it('that was not served for its mode is served once its mode is mended', async () => {
    const file = own('mended.pem');
    await copyFile(own('merchant_private_key.pem'), file);
    await chmod(file, 0o602);
    const merchants = await load(file);
    assert.equal(merchants.client(MCHID), undefined);
    await chmod(file, 0o600);
    await merchants.look();
    assert.ok(merchants.client(MCHID));
  });
});

describe('other keys', () => {
  it('of a sandbox’s folder that it did not write are refused in one line', async () => {
    const dir = join(directory, 'damaged');
    await makeKeys(dir);
    await writeFile(join(dir, 'merchant_private_key.pem'), await readFile(own('wechatpay_public_key.pem')));
    await assert.rejects(makeKeys(dir), (error) => {
      assert.ok(error instanceof KeysFolderError);
      assert.match(error.message, /merchant_private_key\.pem: expected what this sandbox wrote[^\n]*$/);
      return true;
    });
  });

  it('a worker without settings that can be used ends with one line each, no key among them', async () => {
    const { code, stdout, stderr } = await policySync(['worker'], {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      MONGODB_URI: 'mongodb://127.0.0.1:9/policies',
      POLICY_SYNC_KEYS: `k1:${secrets[0]}`,
    });
    assert.equal(code, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /^(policy-sync worker: [A-Z_]+: [^\n]*expected [^\n]*, found [^\n]*\n){2}$/);
    assert.match(stderr, /POLICY_SYNC_KEYS: .*found a key of 48 bytes \(entry 1\)/);
    for (const secret of secrets) assert.ok(!stderr.includes(secret));
  });
});
