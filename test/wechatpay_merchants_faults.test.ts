import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { KEY_ID, MERCHANT_SERIAL, merchantPair, wechatpayPair } from './wechatpay_counterpart.ts';
import {
  assertShowable,
  faultOf,
  least,
  merchantKey,
  PLATFORM_SERIAL,
  privatePem,
  publicPem,
  put,
  read,
  SECRET,
  wechatpayKey,
} from './wechatpay_merchants_fixture.ts';

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
