import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';

const SETTING = 'POLICY_SYNC_KEYS';
const KEY_BYTES = 32;
const EXPECTED = `expected id:base64-of-${KEY_BYTES}-bytes[,id:base64…]`;
const ID = /^[A-Za-z0-9._-]{1,40}$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** A sealing key. The secret is a KeyObject, which prints as nothing: it cannot slip into a log. */
export interface Key {
  id: string;
  secret: KeyObject;
}

/** The keys of `POLICY_SYNC_KEYS`: `active` seals, every key of `byId` opens. */
export interface Keyring {
  active: Key;
  byId: ReadonlyMap<string, Key>;
}

/** A bad `POLICY_SYNC_KEYS`; the message is one line and holds nothing of the setting's text. */
export class InvalidKeys extends Error {
  override readonly name = 'InvalidKeys';

  constructor(found: string) {
    super(`${SETTING}: ${EXPECTED}, found ${found}`);
  }
}

/** A sealed value names a key that the keyring has not got: a key was taken out too early, or never put in. */
export class UnknownKey extends Error {
  override readonly name = 'UnknownKey';
  readonly keyId: string;

  constructor(keyId: string) {
    super(`no key ${JSON.stringify(keyId)} to open a sealed value: add it to ${SETTING}, after the first`);
    this.keyId = keyId;
  }
}

/**
 * The keyring of a `POLICY_SYNC_KEYS` value; `undefined` where the setting is absent: nothing is sealed then. A
 * setting that is there but empty is a fault, so that a secret which failed to arrive never turns sealing off.
 * @throws InvalidKeys
 */
export function parseKeys(text: string | undefined): Keyring | undefined {
  if (text === undefined) return undefined;
  if (text.trim() === '') throw new InvalidKeys('an empty value (unset it to run without keys)');
  const keys = text.split(',').map((entry, index) => parseEntry(entry.trim(), index + 1));
  const byId = new Map<string, Key>();
  for (const [index, key] of keys.entries()) {
    if (byId.has(key.id)) throw new InvalidKeys(`an id used before (entry ${index + 1})`);
    byId.set(key.id, key);
  }
  const [active] = keys;
  if (!active) throw new InvalidKeys('no entry');
  return { active, byId };
}

/** A new entry for `POLICY_SYNC_KEYS`: `id:base64` of 32 random bytes. */
export function makeKey(id: string): string {
  if (!ID.test(id)) throw new InvalidKeys(`the id ${JSON.stringify(id)}; ids match ${ID.source}`);
  return `${id}:${randomBytes(KEY_BYTES).toString('base64')}`;
}

/** Tells keys of one id apart and gives none away: 8 hexadecimal digits of an HMAC under the key. */
export function fingerprintOf({ secret }: Key): string {
  return createHmac('sha256', secret).update('policy-sync/fingerprint').digest('hex').slice(0, 8);
}

/**
 * The key of that id.
 * @throws UnknownKey also where there are no keys at all
 */
export function keyOf(keyring: Keyring | undefined, id: string): Key {
  const key = keyring?.byId.get(id);
  if (!key) throw new UnknownKey(id);
  return key;
}

// Entries are named by their place: what stands where an id should may be the secret.
function parseEntry(entry: string, place: number): Key {
  const colon = entry.indexOf(':');
  if (colon < 0) throw new InvalidKeys(`no ":" (entry ${place})`);
  const id = entry.slice(0, colon);
  if (!ID.test(id)) throw new InvalidKeys(`an id that does not match ${ID.source} (entry ${place})`);
  const base64 = entry.slice(colon + 1);
  if (!BASE64.test(base64)) throw new InvalidKeys(`a key that is not base64 (entry ${place})`);
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.length !== KEY_BYTES) throw new InvalidKeys(`a key of ${bytes.length} bytes (entry ${place})`);
  return { id, secret: createSecretKey(bytes) };
}
