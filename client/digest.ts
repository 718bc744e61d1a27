import { createHash } from 'node:crypto';
import type { PolicyRecord } from '../policy/record.ts';

/**
 * SHA-256, in hexadecimal, of a parsed record in canonical form: the same for every spelling of the same record (order
 * of fields, offset of times, defaults written or left out), another for any other. Update id of `open`.
 */
export function digestOf(record: PolicyRecord): string {
  return createHash('sha256').update(canonical(record)).digest('hex');
}

/** JSON with the members of every object in the order of their names, without those that have no value. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonical(item ?? null)).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`);
  return `{${members.join(',')}}`;
}
