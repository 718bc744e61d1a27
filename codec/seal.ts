import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { Key } from './keys.ts';

const ALGORITHM = 'aes-256-gcm';
const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEAD_BYTES = 1 + NONCE_BYTES;

/** Sealed bytes that do not open: changed, cut, sealed by another key of the same id, or for another place. */
export class SealBroken extends Error {
  override readonly name = 'SealBroken';

  constructor(keyId: string, reason: string) {
    super(`a value sealed with key ${JSON.stringify(keyId)} does not open: ${reason}`);
  }
}

/**
 * Seals bytes with AES-256-GCM: version byte 1, nonce of 12 random bytes, ciphertext, tag of 16 bytes
 * (docs/sealing.md). `associated` names what the value is and where it belongs; it opens nowhere else.
 */
export function seal(key: Key, plaintext: Uint8Array, associated: string): Uint8Array {
  return sealWithNonce(key, plaintext, associated, randomBytes(NONCE_BYTES));
}

/** For test vectors only: a nonce used twice with one key gives both plaintexts away. */
export function sealWithNonce(key: Key, plaintext: Uint8Array, associated: string, nonce: Uint8Array): Uint8Array {
  const cipher = createCipheriv(ALGORITHM, key.secret, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(Buffer.from(associated, 'utf8'));
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return Buffer.concat([Buffer.of(VERSION), nonce, ciphertext, cipher.getAuthTag()]);
}

/**
 * The bytes that `seal` was given.
 * @throws SealBroken when a single bit of them, of `associated` or of the key differs
 */
export function open(key: Key, sealed: Uint8Array, associated: string): Uint8Array {
  if (sealed.length < HEAD_BYTES + TAG_BYTES) throw new SealBroken(key.id, `it has only ${sealed.length} bytes`);
  if (sealed[0] !== VERSION) throw new SealBroken(key.id, `it is of version ${sealed[0]}, expected ${VERSION}`);
  const decipher = createDecipheriv(ALGORITHM, key.secret, sealed.subarray(1, HEAD_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(Buffer.from(associated, 'utf8'));
  decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
  const plaintext = decipher.update(sealed.subarray(HEAD_BYTES, -TAG_BYTES));
  try {
    return Buffer.concat([plaintext, decipher.final()]);
  } catch {
    throw new SealBroken(key.id, 'it was changed, or sealed by another key or for another place');
  }
}
