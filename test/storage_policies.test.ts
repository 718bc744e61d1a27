import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { writeAnswer, writeNextVerification, writeVerification } from '../storage/answers.ts';
import { connect, type Storage } from '../storage/connection.ts';
import { claim, documentId, findPolicy, type PolicySnapshot, writePolicy } from '../storage/policies.ts';
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
  const { mchid, out_insurance_no, life, record, workflow_run } = policy;
  const snapshot: PolicySnapshot = {
    ...{ mchid, out_insurance_no, life, record, workflow_run },
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

const minute = (number: number) => new Date(Date.UTC(2026, 0, 1, 0, number));

test('without a document a write makes one of a whole snapshot, and none of an answer', async () => {
  const snapshot = { ...opened(), end: null, ended_at: null };
  const { mchid, out_insurance_no, life, revision, step, record } = snapshot;
  const answer = { mchid, out_insurance_no, life, revision, step, remote: record.policy, observed_at: minute(1) };
  assert.equal(await writeAnswer(storage, answer), 'older');
  assert.equal(await find(snapshot), null);
  assert.equal(await writePolicy(storage, snapshot), 'written');
  assert.deepEqual(same((await find(snapshot))?.record), same(record));
});

test('an answer is recorded beside the record of its revision only: no document claims one whose record it has not got', async () => {
  const policy = opened({ revision: 2, step: 5 });
  await claim(storage, policy);
  const { mchid, out_insurance_no, life, record } = policy;
  const observed = (revision: number, step: number, address: string, of = life) => {
    const answer = {
      mchid,
      out_insurance_no,
      life: of,
      revision,
      step,
      remote: { address },
      observed_at: minute(step),
    };
    return writeAnswer(storage, answer);
  };
  assert.equal(await observed(3, 8, 'of a record that MongoDB did not take'), 'older');
  assert.equal(await observed(2, 8, 'of another life', 'another'), 'older');
  const found = await find(policy);
  assert.deepEqual([found?.revision, found?.step, found?.remote], [2, 5, null]);
  assert.equal(await observed(2, 6, 'own'), 'written');
  assert.deepEqual((await find(policy))?.remote, { address: 'own' });
  await writePolicy(storage, { ...policy, revision: 3, step: 7, record });
  assert.equal(await observed(2, 8, 'of a record of before'), 'older');
});

test('what a verification finds is recorded though a record of the same revision was written beside it, at a greater step', async () => {
  const policy = opened({ revision: 2, step: 18 });
  await claim(storage, policy);
  const { mchid, out_insurance_no, life, revision } = policy;
  const of = { mchid, out_insurance_no, life, revision };
  const observed = (step: number, at: number) =>
    writeAnswer(storage, { ...of, step, remote: { address: `of ${at}` }, observed_at: minute(at) });
  assert.equal(await writePolicy(storage, { ...policy, step: 16 }), 'older');
  assert.equal(await writeNextVerification(storage, { ...of, next_verification_at: minute(20) }), 'written');
  assert.equal(await observed(17, 20), 'written');
  const quiet = { ...of, verified_at: minute(20), next_verification_at: minute(80) };
  assert.equal(await writeVerification(storage, quiet), 'written');
  assert.equal(await observed(17, 10), 'older', 'an answer of before');
  const found = await find(policy);
  assert.deepEqual([found?.step, found?.remote, found?.observed_at], [18, { address: 'of 20' }, minute(20)]);
  assert.deepEqual([found?.verified_at, found?.next_verification_at], [minute(20), minute(80)]);
});

test('a quiet verification is recorded for exactly its life and revision, and only forward', async () => {
  const policy = opened({ revision: 2, step: 5 });
  await claim(storage, policy);
  const { mchid, out_insurance_no } = policy;
  const verified = (revision: number, at: number, life = policy.life) => {
    const times = { verified_at: minute(at), next_verification_at: minute(at + 60) };
    return writeVerification(storage, { mchid, out_insurance_no, life, revision, ...times });
  };
  assert.equal(await verified(1, 1), 'older');
  assert.equal(await verified(3, 1), 'older');
  assert.equal(await verified(2, 1, 'another'), 'older');
  assert.equal(await verified(2, 10), 'written');
  assert.equal(await verified(2, 9), 'later');
  assert.equal(await verified(2, 10), 'later');
  const found = await find(policy);
  assert.deepEqual([found?.verified_at, found?.next_verification_at], [minute(10), minute(70)]);
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
