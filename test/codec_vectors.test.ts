import assert from 'node:assert/strict';
import { createSecretKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseKeys } from '../codec/keys.ts';
import { payloadCodec } from '../codec/payload_codec.ts';
import { sealWithNonce } from '../codec/seal.ts';
import { openValue } from '../codec/sealed_fields.ts';

interface Vector {
  what: 'payload' | 'field';
  key_id: string;
  key: string;
  nonce: string;
  associated: string;
  payload: { metadata: { encoding: string }; data: string };
  value: unknown;
  plaintext_base64: string;
  sealed: string;
  stored: string;
}

const page = readFileSync(new URL('../docs/sealing.md', import.meta.url), 'utf8');
const vectors = JSON.parse(/```json\n(.*?)```/s.exec(page)?.[1] ?? '[]') as Vector[];

const keyringOf = ({ key_id, key }: Vector) => parseKeys(`${key_id}:${Buffer.from(key, 'hex').toString('base64')}`);

test('docs/sealing.md has vectors of both kinds', () => {
  assert.deepEqual(new Set(vectors.map(({ what }) => what)), new Set(['payload', 'field']));
});

for (const vector of vectors) {
  test(`the vector for ${vector.associated} is what the code seals`, () => {
    const key = { id: vector.key_id, secret: createSecretKey(Buffer.from(vector.key, 'hex')) };
    const plaintext = Buffer.from(vector.plaintext_base64, 'base64');
    const sealed = sealWithNonce(key, plaintext, vector.associated, Buffer.from(vector.nonce, 'hex'));
    assert.equal(Buffer.from(sealed).toString('base64'), vector.sealed);
  });

  test(`the vector for ${vector.associated} opens as its kind says`, async () => {
    const keyring = keyringOf(vector);
    assert.ok(keyring);
    if (vector.what === 'field') {
      assert.deepEqual(openValue(keyring, vector.stored, vector.associated), vector.value);
      return;
    }
    const metadata = {
      encoding: Buffer.from('binary/encrypted'),
      'encryption-key-id': Buffer.from(vector.key_id),
    };
    const [payload] = await payloadCodec(keyring, { allowPlain: false }).decode([
      { metadata, data: Buffer.from(vector.sealed, 'base64') },
    ]);
    assert.equal(Buffer.from(payload?.metadata?.encoding ?? '').toString(), vector.payload.metadata.encoding);
    assert.equal(Buffer.from(payload?.data ?? '').toString(), vector.payload.data);
  });
}
