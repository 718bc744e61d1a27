import { ANSWER_ONLY, comparedAs } from './fields.ts';
import type { PolicyFields } from './record.ts';
import { instantMeant } from './time.ts';

/** A field that WeChat Pay holds otherwise than we do. `theirs` is absent where it holds nothing. */
export interface Difference {
  field: string;
  ours: unknown;
  theirs?: unknown;
}

/** Nothing at all: an update carries no such value. */
export function isEmpty(value: unknown): boolean {
  return value == null || value === '' || (Array.isArray(value) && value.length === 0);
}

/**
 * A text that is equal for two values just when WeChat Pay means the same by them: 12535 and "12535" as `plan_id`,
 * one instant in any spelling, names in any order, absent and empty. It leaves out an amount 0 and a false, too.
 */
export function comparable(field: string, value: unknown): string {
  return isEmpty(value) || value === false || value === 0 ? '' : meant(field, value, { ordered: false });
}

/** A text that is equal for two values just when who says them means the same: a false is said, and so is an order of names. */
function meant(field: string, value: unknown, { ordered }: { ordered: boolean }): string {
  if (isEmpty(value)) return '';
  const as = comparedAs(field);
  // WeChat Pay may hold anything: where a field is of another type, its JSON is compared.
  if (as === 'numeral' && isTextOrNumber(value)) return `"${value}"`;
  if (as === 'instant' && isTextOrNumber(value)) return String(instantMeant(value) ?? value);
  if (as === 'set' && !ordered && Array.isArray(value) && value.every(isTextOrNumber))
    return JSON.stringify([...value].sort());
  return JSON.stringify(sortKeys(value));
}

function isTextOrNumber(value: unknown): value is string | number {
  return typeof value === 'string' || typeof value === 'number';
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value as Record<string, unknown>);
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, part]) => [key, sortKeys(part)]));
}

/** Whether WeChat Pay means the same by two values of a field. */
export function sameValue(field: string, a: unknown, b: unknown): boolean {
  return comparable(field, a) === comparable(field, b);
}

/** Whether a person means the same by two values of a field: what is said changes what we want, a false too. */
export function sameWish(field: string, a: unknown, b: unknown): boolean {
  return meant(field, a, { ordered: true }) === meant(field, b, { ordered: true });
}

/**
 * Where `theirs` does not hold what `ours` says. Only fields that ours gives a value count: unknown fields of WeChat
 * Pay's are no drift, and nothing can be emptied by an update. `unreadable` fields (sealed for a key that is not
 * ours) are left out: nobody can say whether they differ.
 */
export function differences(
  ours: PolicyFields,
  theirs: PolicyFields,
  unreadable: readonly string[] = [],
): Difference[] {
  return Object.entries(ours)
    .filter(([field]) => !ANSWER_ONLY.has(field) && !unreadable.includes(field))
    .filter(([, value]) => !isEmpty(value))
    .filter(([field, value]) => !sameValue(field, value, theirs[field]))
    .map(([field, value]) => ({ field, ours: value, ...(theirs[field] == null ? {} : { theirs: theirs[field] }) }));
}

/** What a PATCH is made under, beside what differs. */
export interface PatchTerms {
  /** Attempts whose outcome is unknown: what they carried is carried again, for they may still land. */
  unconfirmed?: readonly PolicyFields[];
  /** Fields whose values nobody could open; they are left as they are. */
  unreadable?: readonly string[];
  /** Fields that are no reason to send: refused with this very value, or reported and left so. */
  withheld?: (field: string) => boolean;
}

/**
 * The body of the PATCH that brings WeChat Pay from `confirmed` to `held`: the fields that differ, and those that an
 * attempt of unknown outcome carried, with the values that hold now. The state already confirmed is never sent.
 * `policy_code` goes with a state; the three fields of a renewal window go together. An empty object: nothing to send.
 */
export function patchOf(held: PolicyFields, confirmed: PolicyFields, terms: PatchTerms = {}): PolicyFields {
  const { unconfirmed = [], unreadable = [], withheld = () => false } = terms;
  const wanted = new Set(differences(held, confirmed, unreadable).map(({ field }) => field));
  for (const attempt of unconfirmed) for (const field of Object.keys(attempt)) wanted.add(field);
  if (held.policy_state === confirmed.policy_state) wanted.delete('policy_state');
  for (const field of wanted) if (withheld(field)) wanted.delete(field);
  if (wanted.has('policy_state')) wanted.add('policy_code');
  if (wanted.has('start_renewal_time') || wanted.has('end_renewal_time'))
    for (const field of ['support_renewal', 'start_renewal_time', 'end_renewal_time']) wanted.add(field);
  const fields = Object.keys(held).filter((field) => wanted.has(field) && !ANSWER_ONLY.has(field));
  return Object.fromEntries(fields.filter((field) => !isEmpty(held[field])).map((field) => [field, held[field]]));
}

/** What a command changed: the fields that mean something else after it, as they were and as they are. */
export function changes(before: PolicyFields, after: PolicyFields): { before: PolicyFields; after: PolicyFields } {
  const fields = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const changed = fields.filter((field) => !sameWish(field, before[field], after[field]));
  const those = (of: PolicyFields): PolicyFields =>
    Object.fromEntries(changed.filter((field) => of[field] !== undefined).map((field) => [field, of[field]]));
  return { before: those(before), after: those(after) };
}
