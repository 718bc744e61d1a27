import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { OFFICIAL_HOSTS } from '../wechatpay/merchant.ts';
import { MerchantsFileError, readMerchants } from '../wechatpay/merchants_file.ts';
import { KEY_ID, MERCHANT_SERIAL, merchantPair, strangerPair, wechatpayPair } from './wechatpay_counterpart.ts';

const folder = mkdtempSync(join(tmpdir(), 'merchants-'));
after(() => rmSync(folder, { recursive: true }));

function put(name: string, content: string, mode = 0o600): string {
  writeFileSync(join(folder, name), content);
  chmodSync(join(folder, name), mode);
  return name;
}

const privatePem = (key: KeyObject): string => String(key.export({ type: 'pkcs8', format: 'pem' }));
const publicPem = (key: KeyObject): string => String(key.export({ type: 'spki', format: 'pem' }));

const openssl = (...args: string[]): void => void execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });

/** A self-signed certificate of the key in `keyFile`, in force for 30 days from now on. */
function certificate(name: string, keyFile: string, serial: string): void {
  openssl(
    'req',
    '-x509',
    '-new',
    '-key',
    keyFile,
    '-subj',
    '/CN=test',
    '-days',
    '30',
    '-set_serial',
    `0x${serial}`,
    '-out',
    name,
  );
}

/** One that ended with the year 2020; only `openssl ca` makes certificates of the past. */
function pastCertificate(name: string, keyFile: string, serial: string): void {
  put('serial', serial);
  put('index', '');
  const policy = '[policy]\ncommonName=supplied\n';
  put('ca.cnf', `[own]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=policy\n${policy}`);
  openssl('req', '-new', '-key', keyFile, '-subj', '/CN=test', '-out', 'request.csr');
  const span = ['-startdate', '20200101000000Z', '-enddate', '20210101000000Z'];
  openssl(
    'ca',
    '-batch',
    '-selfsign',
    '-name',
    'own',
    '-config',
    'ca.cnf',
    '-keyfile',
    keyFile,
    '-in',
    'request.csr',
    ...span,
    '-out',
    name,
  );
}

const PLATFORM_SERIAL = '4E1C8A5B';
const SECRET = 'abcdefghijklmnopqrstuvwxyz012345';
put('merchant_private_key.pem', privatePem(merchantPair.privateKey));
put('merchant_pkcs1.pem', String(merchantPair.privateKey.export({ type: 'pkcs1', format: 'pem' })));
put('stranger_private_key.pem', privatePem(strangerPair.privateKey));
put('wechatpay_private_key.pem', privatePem(wechatpayPair.privateKey));
put('wechatpay_public_key.pem', publicPem(wechatpayPair.publicKey), 0o644);
put('api_v3_key', `${SECRET}\n`);
certificate('merchant_certificate.pem', 'merchant_private_key.pem', MERCHANT_SERIAL);
certificate('platform_certificate.pem', 'wechatpay_private_key.pem', PLATFORM_SERIAL);
pastCertificate('past_certificate.pem', 'wechatpay_private_key.pem', PLATFORM_SERIAL);

const merchantKey = { serial_no: MERCHANT_SERIAL, private_key_file: 'merchant_private_key.pem' };
const wechatpayKey = { id: KEY_ID, public_key_file: 'wechatpay_public_key.pem' };
const least = { merchant_keys: [merchantKey], wechatpay_keys: [wechatpayKey] };

function read(merchants: unknown): ReturnType<typeof readMerchants> {
  const text = typeof merchants === 'string' ? merchants : JSON.stringify(merchants);
  return readMerchants(join(folder, put('merchants.json', text)));
}

/** The one line that the settings of a merchant are refused with. */
async function faultOf(settings: object): Promise<string> {
  const { merchants, faults } = await read({ '1900000001': { ...least, ...settings } });
  assert.equal(merchants.size, 0);
  assert.equal(faults.length, 1, JSON.stringify(faults));
  const { mchid, message } = faults[0] ?? { mchid: '', message: '' };
  assert.equal(mchid, '1900000001');
  assert.match(message, /^WECHATPAY_MERCHANTS: 1900000001[.:]/);
  assertShowable(message);
  return message;
}

function assertShowable(message: string): void {
  assert.ok(!/[\r\n]/.test(message), message);
  assert.ok(!message.includes(SECRET) && !/-----BEGIN|MII[A-Za-z0-9+/]{10}/.test(message), message);
}

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

describe('a merchant is refused in one line', () => {
  const privateKey = (file: string, serial_no = MERCHANT_SERIAL): object => ({
    merchant_keys: [{ serial_no, private_key_file: file }],
  });
  const publicKey = (file: string): object => ({ wechatpay_keys: [{ id: KEY_ID, public_key_file: file }] });
  const damaged = privatePem(merchantPair.privateKey).replace(/\n.{20}/, '\n####################');
  const encrypted = merchantPair.privateKey.export({
    type: 'pkcs8',
    format: 'pem',
    cipher: 'aes-256-cbc',
    passphrase: 'x',
  });
  const small = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const curve = generateKeyPairSync('ec', { namedCurve: 'P-256' });

  const wrong: [string, object, RegExp][] = [
    ['a field of a wrong type', { requests_per_second: '50' }, /requests_per_second: .*expected a number, found text/],
    ['a rate of nothing', { requests_per_second: 0 }, /requests_per_second: /],
    ['an unknown field', { request_per_second: 5 }, /request_per_second/],
    ['no merchant key', { merchant_keys: [] }, /merchant_keys: /],
    ['no key of WeChat Pay’s', { wechatpay_keys: [] }, /wechatpay_keys: /],
    [
      'a key of WeChat Pay’s without a file',
      { wechatpay_keys: [{ id: KEY_ID }] },
      /wechatpay_keys\.0: expected either/,
    ],
    [
      'an id of a public key without PUB_KEY_ID_',
      { wechatpay_keys: [{ ...wechatpayKey, id: KEY_ID.slice('PUB_KEY_ID_'.length) }] },
      /wechatpay_keys\.0\.id: expected the whole id of the public key, with its PUB_KEY_ID_$/,
    ],
    [
      'one id for two keys, in another case',
      { wechatpay_keys: [wechatpayKey, { ...wechatpayKey, id: KEY_ID.toLowerCase() }] },
      /expected each key once/,
    ],
    [
      'one id for two keys',
      { wechatpay_keys: [wechatpayKey, wechatpayKey] },
      /expected each key once, found PUB_KEY_ID_\d+ twice/,
    ],
    [
      'a host with a path',
      { base_urls: ['https://api.mch.weixin.qq.com/v3'] },
      /base_urls\.0: expected scheme and host alone/,
    ],
    [
      'a host with a password',
      { base_urls: ['https://a:abcdefghijklmnopqrstuvwxyz012345@b'] },
      /base_urls\.0: expected scheme and host alone/,
    ],
    ['a host that is none', { base_urls: ['localhost'] }, /base_urls\.0: expected scheme and host alone/],
    [
      'a serial that is none',
      privateKey('merchant_private_key.pem', 'xyz'),
      /merchant_keys\.0\.serial_no: expected a certificate serial/,
    ],
    [
      'a missing key file',
      privateKey('none.pem'),
      /merchant_keys\.0\.private_key_file: expected a readable file at .*none\.pem, found none$/,
    ],
    ['a folder for a key file', privateKey('.'), /found a folder$/],
    [
      'a public key for a private one',
      privateKey('wechatpay_public_key.pem'),
      /expected an RSA private key in PEM, not encrypted in .*, found PUBLIC KEY$/,
    ],
    [
      'a private key for a public one',
      publicKey('wechatpay_private_key.pem'),
      /expected an RSA public key in PEM in .*, found PRIVATE KEY$/,
    ],
    ['a certificate for a public key', publicKey('platform_certificate.pem'), /found CERTIFICATE$/],
    ['a file without PEM', privateKey('api_v3_key'), /found no PEM$/],
    ['a damaged key', privateKey(put('damaged.pem', damaged)), /found one that cannot be read/],
    ['an encrypted key', privateKey(put('encrypted.pem', String(encrypted))), /found ENCRYPTED PRIVATE KEY$/],
    [
      'a small key',
      privateKey(put('small.pem', privatePem(small.privateKey))),
      /expected an RSA key of 2048 bits or more in .*, found 1024 bits$/,
    ],
    ['a key of another kind', publicKey(put('curve.pem', publicPem(curve.publicKey))), /found ec$/],
    [
      'a certificate of another key',
      {
        merchant_keys: [
          {
            ...merchantKey,
            private_key_file: 'stranger_private_key.pem',
            certificate_file: 'merchant_certificate.pem',
          },
        ],
      },
      /expected the certificate of merchant_keys\.0\.private_key_file, found another key's$/,
    ],
    [
      'a certificate of another serial',
      { merchant_keys: [{ ...merchantKey, serial_no: '77', certificate_file: 'merchant_certificate.pem' }] },
      /expected the certificate whose serial is serial_no 77, found 5157F0/,
    ],
    [
      'a platform certificate of another id',
      { wechatpay_keys: [{ id: 'AA', certificate_file: 'platform_certificate.pem' }] },
      /expected the certificate whose serial is id AA, found 4E1C8A5B$/,
    ],
    [
      'an APIv3 key that has not 32 bytes',
      { api_v3_key_file: put('short', SECRET.slice(1)) },
      /api_v3_key_file: expected the 32 bytes of the APIv3 key in .*, found 31$/,
    ],
    ['an APIv3 key itself for its file', { api_v3_key_file: SECRET }, /not shown: it looks like a key/],
    [
      'a private key itself for its file',
      privateKey(privatePem(merchantPair.privateKey)),
      /not shown: it looks like a key/,
    ],
    [
      'a key file that everybody can write',
      privateKey(put('open.pem', privatePem(merchantPair.privateKey), 0o602)),
      /found mode 602: chmod 600 .*open\.pem$/,
    ],
    [
      'a public key file that everybody can write',
      publicKey(put('open_public.pem', publicPem(wechatpayPair.publicKey), 0o666)),
      /found mode 666: chmod 600/,
    ],
  ];
  for (const [what, settings, expected] of wrong) it(what, async () => assert.match(await faultOf(settings), expected));
});

describe('a merchant is served with a warning', () => {
  const warned: [string, object, RegExp][] = [
    [
      'a private key that others can read, naming chmod 600',
      {
        merchant_keys: [
          { ...merchantKey, private_key_file: put('read.pem', privatePem(merchantPair.privateKey), 0o640) },
        ],
      },
      /private_key_file: .* found mode 640: chmod 600 .*read\.pem$/,
    ],
    [
      'an APIv3 key that others can read',
      { api_v3_key_file: put('read_key', SECRET, 0o604) },
      /api_v3_key_file: .*chmod 600/,
    ],
    [
      'a certificate that has ended',
      { wechatpay_keys: [{ id: PLATFORM_SERIAL, certificate_file: 'past_certificate.pem' }] },
      /certificate_file: expected a certificate in force, found one that ended on /,
    ],
    [
      'a host without https that is not this machine',
      { base_urls: ['http://sandbox:8080'] },
      /base_urls: expected https, found http:\/\/sandbox:8080/,
    ],
  ];
  for (const [what, settings, expected] of warned)
    it(what, async () => {
      const { merchants, faults, warnings } = await read({ '1900000001': { ...least, ...settings } });
      assert.deepEqual([merchants.size, faults], [1, []]);
      assert.equal(warnings.length, 1);
      assert.match(warnings[0] ?? '', expected);
      assertShowable(warnings[0] ?? '');
    });
});
