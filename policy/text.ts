import { z } from 'zod';
import type { RuleName } from './rules.ts';

/** A check of a text, with what a JSON Schema can say of it. */
export type Check = ((value: string) => { rule: RuleName; message: string } | undefined) & { schema?: object };

/** A text that is whole Unicode, and passes the checks; all faults are told. */
export function checked(...checks: Check[]): z.ZodType<string, string> {
  const all = [wellFormed, ...checks];
  const text = z.string({ error: () => 'expected text' }).superRefine((value, context) => {
    for (const check of all) {
      const fault = check(value);
      if (fault) context.addIssue({ code: 'custom', params: { rule: fault.rule }, message: fault.message });
    }
  });
  return text.meta(Object.assign({}, ...checks.map(({ schema }) => schema)));
}

export function stated(schema: object, check: Check): Check {
  return Object.assign(check, { schema });
}

/** A length in characters (code points), as WeChat Pay's `string(n)` counts them. */
export function atMost(most: number): Check {
  return stated({ maxLength: most }, (value) => {
    const length = [...value].length;
    return length > most
      ? { rule: 'too-long', message: `expected at most ${most} characters, has ${length}` }
      : undefined;
  });
}

// Half of a surrogate pair has no bytes in UTF-8: sent, it would become another character. Databases end texts at NUL.
const NO_TEXT = /[\p{Surrogate}\0]/u;

const wellFormed: Check = (value) =>
  NO_TEXT.test(value)
    ? { rule: 'ill-formed', message: 'expected text in Unicode, has half of a surrogate pair, or NUL' }
    : undefined;

/**
 * Whether every text within a value as JSON has it is whole, names of members too, and every number can be written again:
 * `1e400` is read as Infinity, which JSON writes as null.
 */
export function isWellFormed(value: unknown): boolean {
  if (typeof value === 'string') return !NO_TEXT.test(value);
  if (typeof value === 'number') return Number.isFinite(value);
  if (typeof value !== 'object' || value === null) return true;
  return Object.entries(value).every(([name, part]) => isWellFormed(name) && isWellFormed(part));
}

export const notEmpty: Check = stated({ minLength: 1 }, (value) =>
  value === '' ? { rule: 'empty', message: 'expected text, found none' } : undefined,
);

// U+2800 is a braille pattern without a dot.
const INVISIBLE = /^[\p{White_Space}\p{Default_Ignorable_Code_Point}\p{Cc}\p{Cf}\u2800]+$/u;

/** A text that is there shows something: blanks and characters of no width alone name nobody. */
export const visible: Check = (value) =>
  INVISIBLE.test(value)
    ? { rule: 'blank', message: 'expected text that can be seen, has blanks or invisible characters only' }
    : undefined;

const NARROW = '^[\\u0000-\\uFFFF]*$';

/** Clear text fields take characters of 1 to 3 bytes in UTF-8 only. */
export const threeByteCharacters: Check = stated({ pattern: NARROW }, (value) => {
  const wide = [...value].find((character) => (character.codePointAt(0) ?? 0) > 0xffff);
  if (wide === undefined) return undefined;
  const point = `U+${(wide.codePointAt(0) ?? 0).toString(16).toUpperCase()}`;
  return {
    rule: 'wide-character',
    message: `the character ${point} takes 4 bytes in UTF-8, WeChat Pay takes at most 3`,
  };
});
