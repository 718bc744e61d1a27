import { nestsTooDeep } from '../policy/nesting.ts';

/** The value that the bytes hold as JSON; `undefined` when they are not UTF-8, not JSON, or nest too deep. */
export function jsonIn(bytes: Uint8Array): unknown {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
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
