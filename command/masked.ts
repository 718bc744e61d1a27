import { isPersonal } from '../policy/fields.ts';

const MASK = '•••';

/** A field's value as it may be shown: a personal one is masked unless the user asked to see it. */
export function shownValue(field: string, value: unknown, reveal: boolean | undefined): unknown {
  if (reveal || value === undefined || value === null || !isPersonal(field)) return value;
  return Array.isArray(value) ? value.map(() => MASK) : MASK;
}

/** The same for all fields of a policy. */
export function shownFields<T extends object>(fields: T, reveal: boolean | undefined): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([field, value]) => [field, shownValue(field, value, reveal)]));
}
