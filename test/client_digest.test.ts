import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { digestOf } from '../client/digest.ts';
import { parsedRecord, type RecordInput } from '../policy/record.ts';
import { recordOf, SEED } from './fixtures.ts';

const now = Date.parse('2025-10-01T00:00:00Z');
const digest = (record: RecordInput) => digestOf(parsedRecord(record));
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

  it('is the same whatever spelling a duration or a number has, and for what is null', () => {
    const spelled = {
      renewal: { opens_before: '60 days', closes_after: '720h' },
      verification: { every: '1 week' },
      issuing_alert_after: '72 hours',
      retry_alert_after: '900s',
      reinstatement_within: null,
      upload: null,
      policy: { ...base.policy, plan_id: '12535', pet_name: null, expired_time: base.policy.expired_time },
    };
    const without = { ...base, policy: { ...base.policy, pet_name: undefined } };
    assert.equal(digest({ ...base, ...spelled } as unknown as RecordInput), digest(without as RecordInput));
  });

  it('is another for another value of any field', () => {
    const changes: Partial<RecordInput['policy']>[] = [
      { insured_name_list: ['张三', '李四'] },
      { address: `${SEED.address}2` },
      { support_renewal: false },
      { policy_periods: [1, 2] },
      { a_field_of_tomorrow: { deep: [1] } },
    ];
    const digests = changes.map((change) =>
      digest(recordOf(change, { extra_fields: ['a_field_of_tomorrow'] }, { now })),
    );
    assert.equal(new Set([digest(base), ...digests]).size, changes.length + 1);
  });
});
