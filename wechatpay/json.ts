import { nestsTooDeep } from '../policy/extent.ts';

// A string whole, or a number; what looks like a number within a string is part of that string.
const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/gs;

/** Integers that a number cannot hold to the last digit become texts: a `plan_id` of 17 digits is not another's. */
function exact(text: string): string {
  return text.replace(STRING_OR_NUMBER, (part) =>
    /^-?[1-9]\d{15,}$/.test(part) && !Number.isSafeInteger(Number(part)) ? `"${part}"` : part,
  );
}

/**
 * The value that the bytes hold as JSON, integers too large for a number as text; `undefined` when they are not UTF-8, not
 * JSON, or nest too deep.
 */
export function jsonIn(bytes: Uint8Array): unknown {
  try {
    const value: unknown = JSON.parse(exact(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
    return nestsTooDeep(value) ? undefined : value;
  } catch {
    // Not JSON is an answer to the question, and the parser's error would quote the bytes.
    return undefined;
  }
}

/** The same, where it is an object; `undefined` for anything else. */
export function jsonObjectIn(bytes: Uint8Array): Record<string, unknown> | undefined {
  const value = jsonIn(bytes);
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}
