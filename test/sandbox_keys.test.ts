import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { certificateSerial, selfSignedCertificate } from '../sandbox/certificate.ts';
import { KeysFolderError, makeKeys, merchantsFile, readKeys } from '../sandbox/keys.ts';
import { readMerchants } from '../wechatpay/merchants_file.ts';

describe('the self-signed certificate', () => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const certificateFrom = (from: string, serial = certificateSerial()): X509Certificate =>
    new X509Certificate(selfSignedCertificate(privateKey, '1900000001', serial, new Date(from)));

  test('is signed by its own key, and of that key', () => {
    const certificate = certificateFrom('2026-01-02T03:04:05.678Z');
    assert.ok(certificate.verify(createPublicKey(privateKey)));
    assert.ok(certificate.checkPrivateKey(privateKey));
    assert.equal(certificate.ca, false);
    assert.match(certificate.subject, /^CN=1900000001$/m);
  });

  test('is in force for five years from the second it is made', () => {
    const certificate = certificateFrom('2026-01-02T03:04:05.678Z');
    assert.equal(Date.parse(certificate.validFrom), Date.parse('2026-01-02T03:04:05Z'));
    assert.equal(Date.parse(certificate.validTo), Date.parse('2031-01-02T03:04:05Z'));
  });

  test('carries years from 2050 on with four digits', () => {
    const certificate = certificateFrom('2047-06-01T00:00:00Z');
    assert.equal(Date.parse(certificate.validFrom), Date.parse('2047-06-01T00:00:00Z'));
    assert.equal(Date.parse(certificate.validTo), Date.parse('2052-06-01T00:00:00Z'));
  });

  test('has a serial of 40 upper-case hexadecimal digits, as the API certificates of WeChat Pay', () => {
    for (let round = 0; round < 500; round++) assert.match(certificateSerial(), /^[4-7][0-9A-F]{39}$/);
    const serial = certificateSerial();
    assert.equal(certificateFrom('2026-01-01T00:00:00Z', serial).serialNumber, serial);
  });
});

describe('the folder of keys', () => {
  let parent: string;
  before(async () => {
    parent = await mkdtemp(join(tmpdir(), 'sandbox-keys-'));
  });
  after(() => rm(parent, { recursive: true }));

  test('is made when missing, for its owner alone, and read the next time', async () => {
    const dir = join(parent, 'made', 'here');
    const made = await makeKeys(dir);
    const mode = async (name: string): Promise<number> => (await stat(join(dir, name))).mode & 0o777;
    assert.equal(await mode('.'), 0o700);
    for (const secret of ['merchant_private_key.pem', 'wechatpay_private_key.pem', 'sandbox.json', 'api_v3_key.txt'])
      assert.equal(await mode(secret), 0o600, secret);
    const again = await makeKeys(dir);
    assert.deepEqual(
      [again.merchant_serial_no, again.wechatpay_public_key_id, again.api_v3_key],
      [made.merchant_serial_no, made.wechatpay_public_key_id, made.api_v3_key],
    );
    assert.ok(again.merchant_private_key.equals(made.merchant_private_key));
  });

  test('holds what the design names, and what belongs together', async () => {
    const dir = join(parent, 'whole');
    const keys = await makeKeys(dir);
    assert.deepEqual((await readdir(dir)).sort(), [
      'api_v3_key.txt',
      'merchant_certificate.pem',
      'merchant_private_key.pem',
      'sandbox.json',
      'wechatpay_private_key.pem',
      'wechatpay_public_key.pem',
    ]);
    const sandbox = JSON.parse(await readFile(join(dir, 'sandbox.json'), 'utf8'));
    assert.deepEqual(Object.keys(sandbox), ['mchid', 'merchant_serial_no', 'wechatpay_public_key_id', 'api_v3_key']);
    assert.match(sandbox.wechatpay_public_key_id, /^PUB_KEY_ID_\d{32}$/);
    assert.equal(sandbox.api_v3_key.length, 32);
    assert.equal(keys.merchant_certificate.serialNumber, sandbox.merchant_serial_no);
    assert.ok(keys.merchant_certificate.checkPrivateKey(keys.merchant_private_key));
    assert.ok(createPublicKey(keys.wechatpay_private_key).equals(keys.wechatpay_public_key));
  });

  test('gives a merchants file that the client reads without a fault or a warning', async () => {
    const dir = join(parent, 'merchants');
    const keys = await makeKeys(dir);
    const file = join(parent, 'merchants.json');
    await writeFile(file, JSON.stringify(merchantsFile(keys, dir, 'http://127.0.0.1:8080')));
    const { merchants, faults, warnings } = await readMerchants(file);
    assert.deepEqual([faults, warnings], [[], []]);
    assert.deepEqual(merchants.get(keys.mchid)?.base_urls, ['http://127.0.0.1:8080']);
    assert.equal(merchants.get(keys.mchid)?.api_v3_key?.toString(), keys.api_v3_key);
  });

  test('never loses a key that lies there already', async () => {
    const dir = join(parent, 'foreign');
    await mkdir(dir);
    await writeFile(join(dir, 'merchant_private_key.pem'), 'somebody’s own');
    await assert.rejects(makeKeys(dir), (error: Error) => {
      assert.ok(error instanceof KeysFolderError);
      assert.match(error.message, /merchant_private_key\.pem: there already, .*name another folder$/);
      return true;
    });
    assert.equal(await readFile(join(dir, 'merchant_private_key.pem'), 'utf8'), 'somebody’s own');
  });

  test('is refused in one line, without a key in it, when it cannot be read', async () => {
    const dir = join(parent, 'damaged');
    await assert.rejects(readKeys(dir), {
      name: 'KeysFolderError',
      message: /sandbox\.json: expected .* found ENOENT$/,
    });
    await makeKeys(dir);
    await writeFile(join(dir, 'wechatpay_private_key.pem'), 'SECRET');
    await assert.rejects(
      readKeys(dir),
      (error: Error) => !error.message.includes('SECRET') && !error.message.includes('\n'),
    );
  });
});
