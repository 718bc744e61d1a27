import { createHash } from 'node:crypto';
import { ms } from '../policy/duration.ts';
import type { PolicyRecord } from '../policy/record.ts';

/**
 * SHA-256, in hexadecimal, of a parsed record in canonical form: the same for every spelling of the same record (order
 * of fields, offset of times, defaults written or left out, durations, `plan_id` as a number or a text), another for any
 * other. Update id of `open`.
 */
export function digestOf(record: PolicyRecord): string {
  return createHash('sha256')
    .update(canonical(spelledAlike(record)))
    .digest('hex');
}

function spelledAlike({ policy, renewal, verification, observe, ...record }: PolicyRecord): object {
  const { plan_id } = policy;
  return {
    ...record,
    ...(observe && { observe }),
    policy: { ...policy, ...(plan_id !== undefined && { plan_id: String(plan_id) }) },
    renewal: { opens_before: ms(renewal.opens_before), closes_after: ms(renewal.closes_after) },
    verification: { ...verification, every: ms(verification.every) },
    issuing_alert_after: ms(record.issuing_alert_after),
    retry_alert_after: ms(record.retry_alert_after),
    ...(record.reinstatement_within !== undefined && { reinstatement_within: ms(record.reinstatement_within) }),
    extra_fields: [...record.extra_fields].sort(),
  };
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
