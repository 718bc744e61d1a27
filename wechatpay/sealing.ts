import { constants, type KeyObject, privateDecrypt, publicEncrypt } from 'node:crypto';

const OAEP = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' };

/**
 * A sensitive field as it travels: RSAES-OAEP with SHA-1 and MGF1-SHA1, Base64 (APIv3, 敏感信息加解密). With RSA-2048 a name
 * has at most 214 bytes of UTF-8; a longer one throws Node's error.
 */
export function sealName(publicKey: KeyObject, name: string): string {
  return publicEncrypt({ key: publicKey, ...OAEP }, Buffer.from(name)).toString('base64');
}

/**
 * Opens a sensitive field with the first of `privateKeys` that fits; `undefined` when none does, or when what comes out
 * is not UTF-8. Never throws: in a rotation of keys, one that does not fit is the rule, not a fault.
 */
export function openName(privateKeys: readonly KeyObject[], sealed: string): string | undefined {
  for (const key of privateKeys) {
    try {
      const clear = privateDecrypt({ key, ...OAEP }, Buffer.from(sealed, 'base64'));
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(clear);
    } catch {
      // Sealed for another key, or not sealed at all: the next key may fit.
    }
  }
  return undefined;
}
