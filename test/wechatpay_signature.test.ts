import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Formatter, Rsa } from 'wechatpay-axios-plugin';
import { openName, sealName } from '../wechatpay/sealing.ts';
import {
  answerMessage,
  authorization,
  parseAuthorization,
  requestMessage,
  SCHEME,
  signMessage,
  verifyMessage,
} from '../wechatpay/signature.ts';
import { merchantPair, strangerPair, wechatpayPair } from './wechatpay_counterpart.ts';

const { privateKey, publicKey } = merchantPair;
const RUNS = { numRuns: 50 };

const token = fc.stringMatching(/^[0-9A-Za-z]{1,32}$/);
const text = fc.string({ unit: 'binary', maxLength: 200 });

describe('the signature of APIv3', () => {
  it('covers the same request lines as wechatpay-axios-plugin', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('GET', 'PATCH', 'POST'),
        token,
        fc.nat(),
        token,
        text,
        (method, no, at, nonce, body) => {
          const path = `/v3/x/${no}?a=1`;
          const ours = requestMessage({ method, path, timestamp: at, nonce, body });
          assert.equal(ours.toString(), Buffer.from(Formatter.request(method, path, at, nonce, body)).toString());
        },
      ),
    );
  });

  it('covers the same answer lines as wechatpay-axios-plugin', () => {
    fc.assert(
      fc.property(fc.nat(), token, text, (timestamp, nonce, body) => {
        const ours = answerMessage({ timestamp, nonce, body });
        assert.equal(ours.toString(), Buffer.from(Formatter.response(timestamp, nonce, body)).toString());
      }),
    );
  });

  it('covers the bytes of a body, also those that are not UTF-8', () => {
    const body = Buffer.from([0xff, 0x00, 0xc3]);
    const message = answerMessage({ timestamp: 1, nonce: 'n', body });
    assert.deepEqual(message, Buffer.concat([Buffer.from('1\nn\n'), body, Buffer.from('\n')]));
  });

  it('is accepted by wechatpay-axios-plugin, and its signature by us', async () => {
    await fc.assert(
      fc.asyncProperty(token, text, async (nonce, body) => {
        const message = requestMessage({ method: 'PATCH', path: '/v3', timestamp: 1, nonce, body });
        assert.ok(Rsa.verify(String(message), await signMessage(privateKey, message), publicKey));
        assert.ok(verifyMessage(publicKey, message, Rsa.sign(String(message), privateKey)));
      }),
      RUNS,
    );
  });

  it('fails when any single byte of body, time stamp, nonce or signature differs', async () => {
    const parts = { timestamp: '1758445872', nonce: 'q1w2e3r4t5', body: '{"plan_id":12535}' };
    const signature = await signMessage(wechatpayPair.privateKey, answerMessage(parts));
    const holds = (changed: Partial<typeof parts>, sign: string): boolean =>
      verifyMessage(wechatpayPair.publicKey, answerMessage({ ...parts, ...changed }), sign);
    assert.ok(holds({}, signature));
    const part = fc.constantFrom('timestamp', 'nonce', 'body', 'signature');
    fc.assert(
      fc.property(part, fc.nat(), fc.integer({ min: 1, max: 127 }), (name, at, flip) => {
        const bytes = Buffer.from(name === 'signature' ? signature : parts[name as keyof typeof parts], 'latin1');
        const index = at % bytes.length;
        bytes[index] = (bytes[index] ?? 0) ^ flip;
        const changed = bytes.toString('latin1');
        assert.ok(name === 'signature' ? !holds({}, changed) : !holds({ [name]: changed }, signature));
      }),
      { numRuns: 500 },
    );
  });

  it('fails with a byte more or less, with another key, and as nothing at all', async () => {
    const message = Buffer.from('message');
    const signature = await signMessage(privateKey, message);
    for (const wrong of ['', signature.slice(1), `${signature}A`, `${signature}\n`, `WECHATPAY/SIGNTEST/${signature}`])
      assert.ok(!verifyMessage(publicKey, message, wrong), wrong.slice(0, 30));
    assert.ok(!verifyMessage(strangerPair.publicKey, message, signature));
  });

  it('rejects when the key cannot sign', async () => {
    await assert.rejects(signMessage(generateKeyPairSync('x25519').privateKey, Buffer.from('m')));
  });
});

describe('the Authorization header', () => {
  it('comes back from its text, whatever the order of its parameters', () => {
    const parameters = fc.record({ mchid: token, serial_no: token, nonce_str: token, timestamp: token });
    fc.assert(
      fc.property(parameters, fc.base64String({ minLength: 4 }), (found, signature) => {
        const parts = { ...found, signature };
        assert.deepEqual(parseAuthorization(authorization(parts)), parts);
        const others = Formatter.authorization(
          parts.mchid,
          parts.nonce_str,
          signature,
          parts.timestamp,
          parts.serial_no,
        );
        assert.deepEqual(parseAuthorization(others), parts);
      }),
    );
  });

  it('is refused unless it has each of the five parameters once, and no other', () => {
    const whole = authorization({ mchid: '1', serial_no: '2', nonce_str: '3', timestamp: 4, signature: '5' });
    for (const wrong of [
      '',
      'Bearer abc',
      SCHEME,
      whole.replace(SCHEME, 'WECHATPAY2-SM2-WITH-SM3'),
      whole.replace('mchid="1",', ''),
      whole.replace('mchid="1"', 'mchid=""'),
      `${whole},mchid="1"`,
      `${whole},other="1"`,
    ])
      assert.equal(parseAuthorization(wrong), undefined, wrong);
  });
});

describe('the sealing of names', () => {
  const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 50 }).filter((n) => Buffer.byteLength(n) <= 214);

  it('is opened by wechatpay-axios-plugin, and its sealing by us', () => {
    fc.assert(
      fc.property(name, (clear) => {
        assert.equal(Rsa.decrypt(sealName(publicKey, clear), privateKey), clear);
        assert.equal(openName([privateKey], Rsa.encrypt(clear, publicKey)), clear);
      }),
      RUNS,
    );
  });

  it('is opened by whichever of several keys fits: a rotation under way', () => {
    const sealed = sealName(publicKey, '张三');
    assert.equal(openName([strangerPair.privateKey, privateKey], sealed), '张三');
    assert.equal(openName([strangerPair.privateKey], sealed), undefined);
    assert.equal(openName([], sealed), undefined);
  });

  it('never throws on what is not a sealed name', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 400 }), (anything) => {
        assert.equal(openName([privateKey], anything), undefined);
      }),
      RUNS,
    );
  });

  it('takes names of 214 bytes with RSA-2048, and no longer ones', () => {
    assert.equal(openName([privateKey], sealName(publicKey, 'x'.repeat(214))), 'x'.repeat(214));
    assert.throws(() => sealName(publicKey, 'x'.repeat(215)));
  });
});
