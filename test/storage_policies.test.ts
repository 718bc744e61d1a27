import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { connect, type Storage } from '../storage/connection.ts';
import {
  claim,
  documentId,
  findPolicy,
  type PolicySnapshot,
  writePolicy,
  writeVerification,
} from '../storage/policies.ts';
import { listPolicies } from '../storage/policy_list.ts';
import { type Database, entries, keyring, opened, PERSONAL, startDatabase } from './storage_fixture.ts';

const [k1, k2] = entries;
let database: Database;
let storage: Storage;

before(async () => {
  database = await startDatabase();
  storage = await connect(database.uri, { keyring: keyring(k1) });
  await storage.ensureIndexes();
});

after(async () => {
  await storage?.close();
  await database?.stop();
});

const find = (policy: { mchid: string; out_insurance_no: string }, from = storage) =>
  findPolicy(from, policy.mchid, policy.out_insurance_no);
const same = (value: unknown) => JSON.parse(JSON.stringify(value));

const pairs = fc.array(fc.record({ revision: fc.nat(4), step: fc.nat(4) }), { minLength: 1, maxLength: 12 });

test('writes in any order, repeated, some at once: the document ends with the greatest pair and its fields', async () => {
  await fc.assert(
    fc.asyncProperty(pairs, fc.nat(6), fc.boolean(), async (order, together, claimed) => {
      const policy = opened({ revision: 0, step: 0 });
      if (claimed) await claim(storage, policy);
      const write = async ({ revision, step }: { revision: number; step: number }) =>
        writePolicy(storage, { ...policy, revision, step, version: 100 * revision + step });
      await Promise.all(order.slice(0, together).map(write));
      for (const pair of order.slice(together)) await write(pair);
      const all = claimed ? [...order, { revision: 0, step: 0 }] : order;
      const greatest = all.reduce((a, b) => ((b.revision - a.revision || b.step - a.step) > 0 ? b : a));
      const found = await find(policy);
      assert.deepEqual([found?.revision, found?.step], [greatest.revision, greatest.step]);
      if (greatest.revision + greatest.step > 0 || !claimed)
        assert.equal(found?.version, 100 * greatest.revision + greatest.step);
    }),
    { numRuns: 40 },
  );
});

test('of eight writes at once of each of forty documents the one of the greatest pair stays', async () => {
  const ended: number[] = [];
  for (let n = 0; n < 40; n++) {
    const policy = opened();
    await claim(storage, policy);
    const steps = [5, 2, 8, 1, 7, 4, 3, 6].map((step) => step + policy.step);
    await Promise.all(steps.map((step) => writePolicy(storage, { ...policy, step, sync: `S${step}` as never })));
    const found = await find(policy);
    assert.equal(found?.sync, `S${found?.step}`);
    ended.push((found?.step ?? 0) - policy.step);
  }
  assert.deepEqual(
    ended,
    ended.map(() => 8),
  );
});

test('a write leaves alone what it was not given', async () => {
  const policy = opened({ version: 3, attention: ['issuing-overdue'] });
  await claim(storage, policy);
  const { mchid, out_insurance_no, life } = policy;
  const snapshot: PolicySnapshot = {
    mchid,
    out_insurance_no,
    life,
    revision: 1,
    step: 2,
    sync: 'SYNCED',
    version: undefined,
  };
  assert.equal(await writePolicy(storage, snapshot), 'written');
  const { updated_at: _, ...found } = (await find(policy)) ?? assert.fail('not found');
  assert.deepEqual(same(found), {
    ...same({ ...policy, end: null, ended_at: null }),
    _id: documentId(mchid, out_insurance_no),
    step: 2,
    sync: 'SYNCED',
    unreadable: [],
  });
});

test('without a document a write makes one of a whole snapshot, and none of a part', async () => {
  const { record, ...part } = opened();
  assert.equal(await writePolicy(storage, part), 'older');
  assert.equal(await find(part), null);
  assert.equal(await writePolicy(storage, { ...part, record, end: null, ended_at: null }), 'written');
  assert.deepEqual(same((await find(part))?.record), same(record));
});

test('a quiet verification is recorded for exactly its pair, and only forward', async () => {
  const policy = opened({ revision: 2, step: 5 });
  await claim(storage, policy);
  const { mchid, out_insurance_no } = policy;
  const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 0, minute));
  const verified = (revision: number, step: number, minute: number) =>
    writeVerification(storage, {
      mchid,
      out_insurance_no,
      revision,
      step,
      verified_at: at(minute),
      next_verification_at: at(minute + 60),
    });
  assert.equal(await verified(2, 4, 1), 'older');
  assert.equal(await verified(2, 6, 1), 'older');
  assert.equal(await verified(3, 5, 1), 'older');
  assert.equal(await verified(2, 5, 10), 'written');
  assert.equal(await verified(2, 5, 9), 'older');
  assert.equal(await verified(2, 5, 10), 'older');
  const found = await find(policy);
  assert.deepEqual([found?.verified_at, found?.next_verification_at], [at(10), at(70)]);
});

test('a list is what all its conditions hold for, in order, a page after another', async () => {
  const mchid = '1900000777';
  const numbers = ['A1', 'B2', 'C3', 'D4'];
  for (const out_insurance_no of numbers) {
    const policy = opened({ mchid, out_insurance_no });
    const late = out_insurance_no === 'D4';
    if (late) policy.record.policy.expired_time = '2030-01-01T00:00:00+08:00';
    const attention = out_insurance_no === 'B2' ? ['issuing-overdue'] : [];
    await claim(storage, { ...policy, attention, sync: late ? 'BLOCKED' : 'SYNCED' });
  }
  const listed = async (...given: Parameters<typeof listPolicies> extends [Storage, ...infer Rest] ? Rest : never) => {
    const found: string[] = [];
    for await (const { out_insurance_no } of listPolicies(storage, ...given)) found.push(out_insurance_no);
    return found;
  };
  assert.deepEqual(await listed({ mchid }), numbers);
  assert.deepEqual(await listed({ mchid }, { limit: 2 }), ['A1', 'B2']);
  assert.deepEqual(await listed({ mchid }, { limit: 2, after: `${mchid}/B2` }), ['C3', 'D4']);
  assert.deepEqual(await listed({ mchid, sync: 'BLOCKED' }), ['D4']);
  assert.deepEqual(await listed({ mchid, attention: true }), ['B2']);
  assert.deepEqual(await listed({ mchid, attention: false }), ['A1', 'C3', 'D4']);
  const over = {
    ...opened({ mchid, out_insurance_no: 'B2', step: 99 }),
    end: 'DECLINED' as const,
    ended_at: new Date(),
  };
  await writePolicy(storage, { ...over, attention: ['issuing-overdue'] });
  assert.deepEqual(await listed({ mchid, attention: true }), [], 'nobody can take a mark off a life that is over');
  assert.deepEqual(await listed({ mchid, policy_type: 'POLICY_TYPE_CAR' }), []);
  const end = (time: string) => ({ mchid, expires_before: new Date(time) });
  assert.deepEqual(await listed(end('2026-09-21T09:11:12Z')), []);
  assert.deepEqual(await listed(end('2026-09-21T09:11:13Z')), ['A1', 'B2', 'C3']);
  assert.deepEqual(await listed({ ...end('2031-01-01T00:00:00Z'), policy_state: 'POLICY_STATE_ISSUING' }), numbers);
});

test('what rests in MongoDB holds no personal value, and old keys still open it after a rotation', async () => {
  const policy = opened();
  await claim(storage, policy);
  await writePolicy(storage, { ...policy, step: 2, remote: policy.record.policy });
  const raw = await database.client.db().collection('policies').findOne({ life: policy.life });
  const text = JSON.stringify(raw);
  assert.ok(text.includes('微医保') && text.includes('sealed:v1:k1:'));
  for (const value of PERSONAL) assert.equal(text.includes(value), false, `${value} rests in the clear`);

  const rotated = await connect(database.uri, { keyring: keyring(k2, k1) });
  try {
    assert.deepEqual(same((await find(policy, rotated))?.record), same(policy.record));
    await writePolicy(rotated, { ...policy, step: 3, remote: { address: '北京市' } });
    const found = (await find(policy, rotated)) ?? assert.fail('not found');
    assert.deepEqual([found.remote, found.unreadable], [{ address: '北京市' }, []]);
    const newer = (await find(policy))?.unreadable ?? [];
    assert.ok(newer.some(({ field }) => field === 'remote.address') && newer.some(({ field }) => field === 'carried'));
    assert.ok(newer.every(({ reason }) => /no key "k2" .*POLICY_SYNC_KEYS/.test(reason)));
  } finally {
    await rotated.close();
  }
});

test('without keys a policy rests in the clear and comes back whole', async () => {
  const clear = await connect(database.uri, { keyring: undefined });
  try {
    const policy = opened({ remote: { address: 'sealed:v1:k1:AAAA' } });
    await claim(clear, policy);
    const found = (await find(policy, clear)) ?? assert.fail('not found');
    assert.deepEqual(
      same([found.record, found.remote, found.carried]),
      same([policy.record, policy.remote, policy.carried]),
    );
    assert.deepEqual(same((await find(policy))?.record), same(policy.record));
  } finally {
    await clear.close();
  }
});
