import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { digestOf } from '../client/digest.ts';
import { type RecordInput, recordSchema } from '../policy/record.ts';
import { parse } from '../policy/violation.ts';
import { recordOf, SEED } from './fixtures.ts';

const now = Date.parse('2025-10-01T00:00:00Z');
const digest = (record: RecordInput) => digestOf(parse(recordSchema, record));
const base = recordOf({}, {}, { now });

describe('the digest of a record', () => {
  it('is SHA-256 in hexadecimal', () => {
    assert.match(digest(base), /^[0-9a-f]{64}$/);
  });

  it('is the same for the same record, in whatever order its fields come', () => {
    const entries = fc.shuffledSubarray(Object.entries(base.policy), { minLength: Object.keys(base.policy).length });
    fc.assert(
      fc.property(entries, (shuffled) => {
        const policy = Object.fromEntries(shuffled) as RecordInput['policy'];
        assert.equal(digest({ policy, mchid: base.mchid }), digest(base));
      }),
    );
  });

  it('is the same for one instant in two offsets, and for a default written out', () => {
    const utc = new Date(Date.parse(base.policy.effective_time)).toISOString().replace('.000Z', 'Z');
    assert.equal(digest({ ...base, policy: { ...base.policy, effective_time: utc } }), digest(base));
    assert.equal(digest({ ...base, adopt: 'push', renewal: { opens_before: '60d' } }), digest(base));
  });

  it('is another for another value of any field', () => {
    const changes: Partial<RecordInput['policy']>[] = [
      { insured_name_list: ['张三', '李四'] },
      { address: `${SEED.address}2` },
      { support_renewal: false },
      { policy_periods: [1, 2] },
      { a_field_of_tomorrow: { deep: [1] } },
    ];
    const digests = changes.map((change) => digest(recordOf(change, {}, { now })));
    assert.equal(new Set([digest(base), ...digests]).size, changes.length + 1);
  });
});
