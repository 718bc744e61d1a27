import { isPersonal } from '../policy/fields.ts';
import { type Keyring, keyOf, UnknownKey } from './keys.ts';
import { open, SealBroken, seal } from './seal.ts';

const SEALED = 'sealed:v1:';
const CLEAR = 'plain:v1:';
// Half of a surrogate pair is no UTF-8, and PostgreSQL, under FerretDB, stores no NUL.
const UNSTORABLE = /[\0\ud800-\udfff]/u;

/** A stored value that no key of ours opens; `reason` is one line without any value. */
export interface Unreadable {
  field: string;
  reason: string;
  /** Id of the key that is not there. */
  lacks?: string;
}

/**
 * A JSON value as it rests in MongoDB: `sealed:v1:<key id>:<base64>`. Without keys it stays in the clear, and one that
 * MongoDB might refuse, or that could be taken for a sealed one, becomes `plain:v1:<JSON>`.
 *
 * @param associated names document and field: the value opens nowhere else
 */
export function sealValue(keyring: Keyring | undefined, value: unknown, associated: string): unknown {
  if (value === undefined) return undefined;
  if (!keyring) return inTheClear(value);
  const sealed = seal(keyring.active, Buffer.from(JSON.stringify(value)), associated);
  return `${SEALED}${keyring.active.id}:${Buffer.from(sealed).toString('base64')}`;
}

/**
 * The value that `sealValue` was given, with whatever keys there were then.
 * @throws UnknownKey, SealBroken
 */
export function openValue(keyring: Keyring | undefined, stored: unknown, associated: string): unknown {
  if (typeof stored !== 'string') return stored;
  if (stored.startsWith(CLEAR)) return JSON.parse(stored.slice(CLEAR.length));
  if (!stored.startsWith(SEALED)) return stored;
  const [id = '', base64 = ''] = stored.slice(SEALED.length).split(':');
  const plaintext = open(keyOf(keyring, id), Buffer.from(base64, 'base64'), associated);
  return JSON.parse(Buffer.from(plaintext).toString());
}

/** Id of the key that a stored value is sealed with; undefined for one in the clear. */
export function keyIdOf(stored: unknown): string | undefined {
  if (typeof stored !== 'string' || !stored.startsWith(SEALED)) return undefined;
  return stored.slice(SEALED.length).split(':')[0];
}

/** The value of a field as it rests: sealed where the field is personal (`isPersonal`). */
export function sealField(keyring: Keyring | undefined, field: string, value: unknown, associated: string): unknown {
  return sealValue(isPersonal(field) ? keyring : undefined, value, associated);
}

/** The value of a field; `undefined`, and noted in `unreadable`, where it does not open. */
export function openField(
  keyring: Keyring | undefined,
  field: string,
  stored: unknown,
  associated: string,
  unreadable: Unreadable[],
): unknown {
  try {
    return openValue(keyring, stored, associated);
  } catch (error) {
    if (!(error instanceof UnknownKey) && !(error instanceof SealBroken)) throw error;
    unreadable.push({ field, reason: error.message, ...(error instanceof UnknownKey && { lacks: error.keyId }) });
    return undefined;
  }
}

/** The fields of a policy or an upload as they rest: the personal ones sealed, under names that MongoDB takes. */
export function sealFields(
  keyring: Keyring | undefined,
  fields: Readonly<Record<string, unknown>>,
  associated: string,
): Record<string, unknown> {
  const stored = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([field, value]) => [storedName(field), sealField(keyring, field, value, `${associated}/${field}`)]);
  return Object.fromEntries(stored);
}

/** What `sealFields` was given. A field that does not open is `undefined`, and listed in `unreadable`. */
export function openFields(
  keyring: Keyring | undefined,
  stored: Readonly<Record<string, unknown>>,
  associated: string,
): { fields: Record<string, unknown>; unreadable: Unreadable[] } {
  const unreadable: Unreadable[] = [];
  const opened = Object.entries(stored).map(([name, value]) => {
    const field = nameOf(name);
    return [field, openField(keyring, field, value, `${associated}/${field}`, unreadable)];
  });
  return { fields: Object.fromEntries(opened), unreadable };
}

/**
 * A stored value that a former key seals, sealed with the present one; undefined for every other.
 * @throws UnknownKey, SealBroken
 */
export function resealedValue(keyring: Keyring, stored: unknown, associated: string): unknown {
  const id = keyIdOf(stored);
  if (id === undefined || id === keyring.active.id) return undefined;
  return sealValue(keyring, openValue(keyring, stored, associated), associated);
}

/** Those of `sealFields`'s values that a former key seals, sealed with the present one, under the names that they rest under. */
export function resealedFields(
  keyring: Keyring,
  stored: Readonly<Record<string, unknown>>,
  associated: string,
): Record<string, unknown> {
  const anew = Object.entries(stored).map(([name, value]) => [
    name,
    resealedValue(keyring, value, `${associated}/${nameOf(name)}`),
  ]);
  return Object.fromEntries(anew.filter(([, value]) => value !== undefined));
}

/** The stored fields of a policy that are not personal, as they rest. */
export function withoutPersonal(stored: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(stored).filter(([name]) => !isPersonal(nameOf(name))));
}

function inTheClear(value: unknown): unknown {
  return isStorable(value) ? value : CLEAR + JSON.stringify(value);
}

function isStorable(value: unknown): boolean {
  if (Array.isArray(value)) return value.every((item) => !Array.isArray(item) && isStorable(item));
  if (typeof value === 'string')
    return !value.startsWith(SEALED) && !value.startsWith(CLEAR) && !UNSTORABLE.test(value);
  return value === null || typeof value !== 'object';
}

// WeChat Pay may add fields of any name; MongoDB's protocol has no "$" at the start, no "." and no NUL in one.
function storedName(field: string): string {
  return field.replace(/[%.$\0]/g, (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

function nameOf(stored: string): string {
  return stored.replace(/%([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
