/** What a value is, in words for people; nothing of the value itself. */
export function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (isRecord(value)) return 'an object';
  switch (typeof value) {
    case 'string':
      return 'text';
    case 'number':
      return Number.isFinite(value) ? 'a number' : `${value}`;
    case 'boolean':
      return 'a boolean';
    case 'object':
      return `a ${value.constructor?.name || 'value of another kind'}`;
    default:
      return `a ${typeof value}`;
  }
}

/** An object with members, as JSON has it: no list, and no Date, Map or Promise, of which JSON would keep nothing. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.prototype.toString.call(value) === '[object Object]';
}
