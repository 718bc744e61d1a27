import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { OFFICIAL_HOSTS } from '../wechatpay/merchant.ts';
import { MerchantsFileError, readMerchants } from '../wechatpay/merchants_file.ts';
import { KEY_ID, MERCHANT_SERIAL, merchantPair, wechatpayPair } from './wechatpay_counterpart.ts';
import {
  assertShowable,
  folder,
  least,
  merchantKey,
  PLATFORM_SERIAL,
  read,
  SECRET,
  wechatpayKey,
} from './wechatpay_merchants_fixture.ts';

describe('the merchants file', () => {
  it('gives each merchant with its keys parsed, defaults filled in, paths relative to its folder', async () => {
    const { merchants, faults, warnings } = await read({ '1900000001': least });
    assert.deepEqual([faults, warnings], [[], []]);
    const merchant = merchants.get('1900000001');
    assert.equal(merchant?.mchid, '1900000001');
    assert.ok(merchant.merchant_keys[0]?.private_key.equals(merchantPair.privateKey));
    assert.equal(merchant.merchant_keys[0]?.serial_no, MERCHANT_SERIAL);
    assert.ok(merchant.wechatpay_keys[0]?.public_key.equals(wechatpayPair.publicKey));
    assert.deepEqual(
      [merchant.requests_per_second, merchant.base_urls, merchant.paused],
      [50, [...OFFICIAL_HOSTS], false],
    );
    assert.ok(!('api_v3_key' in merchant));
  });

  it('takes ids and serials in any case, and has them as WeChat Pay writes them', async () => {
    const { merchants, faults } = await read({
      '1900000001': {
        merchant_keys: [{ ...merchantKey, serial_no: MERCHANT_SERIAL.toLowerCase() }],
        wechatpay_keys: [
          { ...wechatpayKey, id: KEY_ID.toLowerCase() },
          { id: PLATFORM_SERIAL.toLowerCase(), certificate_file: 'platform_certificate.pem' },
        ],
      },
    });
    assert.deepEqual(faults, []);
    const { merchant_keys, wechatpay_keys } = merchants.get('1900000001') ?? {};
    assert.equal(merchant_keys?.[0]?.serial_no, MERCHANT_SERIAL);
    assert.deepEqual(
      wechatpay_keys?.map(({ id }) => id),
      [KEY_ID, PLATFORM_SERIAL],
    );
  });

  it('is refused in one line where it is not UTF-8; a byte order mark is no fault', async () => {
    const file = join(folder, 'encoded.json');
    const text = JSON.stringify({ '1900000001': least }, null, 2);
    writeFileSync(file, Buffer.concat([Buffer.from(`{\n"`), Buffer.from([0xd5, 0xc5]), Buffer.from('": {}}')]));
    await assert.rejects(readMerchants(file), {
      name: 'MerchantsFileError',
      message: `WECHATPAY_MERCHANTS: expected text in UTF-8 at ${file}, found other bytes in line 2`,
    });
    writeFileSync(file, `\ufeff${text}`);
    assert.deepEqual((await readMerchants(file)).faults, []);
  });

  it('may name its JSON Schema, which is no merchant', async () => {
    const { merchants, faults } = await read({ $schema: './merchants.schema.json', '1900000001': least });
    assert.deepEqual([faults, [...merchants.keys()]], [[], ['1900000001']]);
  });

  it('takes certificates, several keys at once, the APIv3 key and every setting', async () => {
    const { merchants, faults, warnings } = await read({
      '1900000001': {
        merchant_keys: [
          { ...merchantKey, serial_no: MERCHANT_SERIAL.toLowerCase(), certificate_file: 'merchant_certificate.pem' },
          { serial_no: '77', private_key_file: join(folder, 'stranger_private_key.pem') },
        ],
        wechatpay_keys: [wechatpayKey, { id: PLATFORM_SERIAL, certificate_file: 'platform_certificate.pem' }],
        api_v3_key_file: 'api_v3_key',
        requests_per_second: 0.5,
        base_urls: ['http://127.0.0.1:8080/', 'https://api2.mch.weixin.qq.com'],
        paused: true,
      },
    });
    assert.deepEqual([faults, warnings], [[], []]);
    const merchant = merchants.get('1900000001');
    assert.equal(merchant?.merchant_keys[0]?.certificate?.serialNumber, MERCHANT_SERIAL);
    assert.deepEqual(
      merchant.merchant_keys.map(({ serial_no }) => serial_no),
      [MERCHANT_SERIAL, '77'],
    );
    const platform = merchant.wechatpay_keys[1];
    assert.ok(platform?.public_key.equals(wechatpayPair.publicKey));
    assert.ok((platform?.valid_to?.getTime() ?? 0) > Date.now());
    assert.equal(String(merchant.api_v3_key), SECRET);
    assert.deepEqual(merchant.base_urls, ['http://127.0.0.1:8080', 'https://api2.mch.weixin.qq.com']);
    assert.deepEqual([merchant.requests_per_second, merchant.paused], [0.5, true]);
  });

  it('takes a private key in PKCS#1', async () => {
    const { merchants } = await read({
      '1900000001': { ...least, merchant_keys: [{ ...merchantKey, private_key_file: 'merchant_pkcs1.pem' }] },
    });
    assert.equal(merchants.size, 1);
  });

  it('serves the other merchants when one is at fault', async () => {
    const { merchants, faults } = await read({
      '1900000001': least,
      '1900000002': { ...least, wechatpay_keys: [] },
      x: least,
    });
    assert.deepEqual([...merchants.keys()], ['1900000001']);
    assert.deepEqual(new Set(faults.map(({ mchid }) => mchid)), new Set(['1900000002', 'x']));
  });

  it('names all faults of a merchant at once', async () => {
    const { faults } = await read({
      '1900000001': {
        merchant_keys: [{ ...merchantKey, private_key_file: 'none.pem' }],
        wechatpay_keys: [{ ...wechatpayKey, public_key_file: 'nor.pem' }],
      },
    });
    assert.equal(faults.length, 2);
  });

  it('warns of a file without a merchant', async () => {
    const { merchants, warnings } = await read({});
    assert.deepEqual([merchants.size, warnings.length], [0, 1]);
  });
});

describe('a merchants file that is unusable as a whole', () => {
  const whole: [string, unknown, RegExp][] = [
    [
      'bad JSON, by its line',
      '{\n "1900000001": {\n "paused": tru "abcdefghijklmnopqrstuvwxyz012345" }',
      /expected JSON at .*merchants\.json, found a fault/,
    ],
    ['cut JSON', '{\n "1900000001": {\n', /found a fault: it ends too soon$/],
    ['broken JSON, by its line', '{\n "1900000001": {\n 张三\n}}', /found a fault in line 3$/],
    ['a list', [], /expected a JSON object of merchants by mchid at .*, found a list$/],
    ['a text', '"x"', /found string$/],
  ];
  for (const [what, content, expected] of whole)
    it(`is refused in one line: ${what}`, () =>
      assert.rejects(read(content), (error) => {
        assert.ok(error instanceof MerchantsFileError);
        assert.match(error.message, expected);
        assertShowable(error.message);
        return true;
      }));

  it('is refused in one line: a missing file, a folder', async () => {
    const refused = (file: string, found: RegExp): Promise<void> =>
      assert.rejects(readMerchants(file), { name: 'MerchantsFileError', message: found });
    await refused(
      join(folder, 'none.json'),
      /^WECHATPAY_MERCHANTS: expected a readable JSON file at .*none\.json, found none$/,
    );
    await refused(folder, /EISDIR/);
  });
});
