import type { Unreadable } from '../codec/sealed_fields.ts';
import { isPersonal } from '../policy/fields.ts';

const MASK = '•••';

/** A field's value as it may be shown: a personal one is masked unless the user asked to see it. */
export function shownValue(field: string, value: unknown, reveal: boolean | undefined): unknown {
  if (reveal || value === undefined || value === null || !isPersonal(field)) return value;
  return Array.isArray(value) ? value.map(() => MASK) : MASK;
}

/** The same for all fields of a policy, and in place of what does not open the reason. */
export function shownFields<T extends object>(
  fields: T,
  reveal: boolean | undefined,
  unreadable: readonly Unreadable[] = [],
): Record<string, unknown> {
  const shown = ([field, value]: [string, unknown]): [string, unknown] => {
    return [field, value === undefined ? sealedIn(field, unreadable) : shownValue(field, value, reveal)];
  };
  return Object.fromEntries(Object.entries(fields).map(shown));
}

/** What is shown of a field that no key of this shell opens; undefined where it has no value. */
export function sealedIn(field: string, unreadable: readonly Unreadable[]): string | undefined {
  const sealed = unreadable.find((one) => one.field === field);
  return sealed?.lacks === undefined
    ? sealed?.reason
    : `sealed with key ${JSON.stringify(sealed.lacks)}, which this shell has not`;
}

/** What does not open of one part, by the names that its fields have there. */
export function unreadableIn(part: string, unreadable: readonly Unreadable[]): Unreadable[] {
  const inPart = unreadable.filter(({ field }) => field.startsWith(`${part}.`));
  return inPart.map((one) => ({ ...one, field: one.field.slice(part.length + 1) }));
}
