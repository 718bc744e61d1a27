import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { connect, type Storage } from '../storage/connection.ts';
import { StorageUnreadable } from '../storage/errors.ts';
import { recordStop } from '../storage/lives.ts';
import { claim, findPolicy, pairAhead, restore, writePolicy } from '../storage/policies.ts';
import { type Database, entries, keyring, opened, startDatabase } from './storage_fixture.ts';

const [k1, k2] = entries;
const namespace = 'insurer';
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

test('what is claimed is found again, every field of it', async () => {
  const policy = opened({ remote: { address: '上海市', policy_state: 'POLICY_STATE_ISSUING' }, digest: 'd' });
  assert.deepEqual(await claim(storage, policy), { outcome: 'claimed' });
  const { _id, updated_at, unreadable, ...found } = (await find(policy)) ?? assert.fail('not found');
  assert.equal(_id, `${policy.mchid}/${policy.out_insurance_no}`);
  assert.ok(updated_at instanceof Date);
  assert.deepEqual(unreadable, []);
  assert.deepEqual(same(found), same({ ...policy, end: null, ended_at: null }));
  assert.ok(found.opened_at instanceof Date);
});

test("a document that a record made anew has no answer of WeChat Pay's: null, not undefined", async () => {
  const { remote: _lost, observed_at: _when, ...snapshot } = opened();
  assert.equal(await writePolicy(storage, snapshot), 'written');
  assert.equal((await find(snapshot))?.remote, null);
  await writePolicy(storage, { ...snapshot, step: snapshot.step + 1, end: 'STOPPED' });
  const restored = await restore(storage, { ...snapshot, life: 'next', namespace });
  assert.equal(restored.outcome === 'restored' && restored.document.remote, null);
});

test('a number is claimed by one life: again by the same, refused to another, and for good when it has ended', async () => {
  const policy = opened();
  const both = await Promise.all([claim(storage, policy), claim(storage, policy)]);
  assert.deepEqual(both, [{ outcome: 'claimed' }, { outcome: 'claimed' }]);
  assert.deepEqual(await claim(storage, { ...policy, life: 'other' }), { outcome: 'exists' });
  await writePolicy(storage, { ...policy, step: 2, end: 'INACTIVE', ended_at: new Date() });
  assert.deepEqual(await claim(storage, { ...policy, life: 'other' }), { outcome: 'ended', end: 'INACTIVE' });
  assert.equal((await find(policy))?.step, 2);
});

test('of many lives that claim a number at once one gets it', async () => {
  const policy = opened();
  const lives = Array.from({ length: 8 }, (_, index) => `life-${index}`);
  const answers = await Promise.all(lives.map((life) => claim(storage, { ...policy, life })));
  assert.equal(answers.filter(({ outcome }) => outcome === 'claimed').length, 1);
  assert.equal(answers.filter(({ outcome }) => outcome === 'exists').length, 7);
});

test('a restart takes over an ended policy with all it had, and asked again gets the same', async () => {
  const policy = opened({ revision: 7, synced_revision: 6, step: 30, version: 4 });
  const ended_at = new Date();
  await claim(storage, policy);
  await writePolicy(storage, { ...policy, step: 31, end: 'STOPPED', ended_at, sync: 'STOPPED' });
  const { mchid, out_insurance_no } = policy;
  const [first, again] = [
    await restore(storage, { mchid, out_insurance_no, life: 'second', namespace }),
    await restore(storage, { mchid, out_insurance_no, life: 'second', namespace }),
  ];
  assert.ok(first.outcome === 'restored' && again.outcome === 'restored');
  for (const { document } of [first, again]) {
    assert.deepEqual(same(document.record), same(policy.record));
    assert.deepEqual(document.carried, policy.carried);
    const { revision, step, synced_revision, version, end, life } = document;
    assert.deepEqual([revision, step, synced_revision, version, end, life], [7, 31, 6, 4, 'STOPPED', 'second']);
  }
  assert.equal((await find(policy))?.end, null);
  assert.deepEqual(await restore(storage, { mchid, out_insurance_no, life: 'third', namespace }), {
    outcome: 'exists',
    life: 'second',
  });
});

test('a life that goes on is not taken over, save one that the caller knows is over', async () => {
  const policy = opened();
  await claim(storage, policy);
  const { mchid, out_insurance_no, life } = policy;
  const second = { mchid, out_insurance_no, life: 'second', namespace };
  assert.deepEqual(await restore(storage, second), { outcome: 'exists', life });
  assert.deepEqual(await restore(storage, { ...second, over: 'someone' }), { outcome: 'exists', life });
  assert.equal((await restore(storage, { ...second, over: life })).outcome, 'restored');
});

test('an end that the audit wrote is none that the workflow told: the record may lag, however often it is asked for', async () => {
  const policy = opened();
  await claim(storage, policy);
  const { mchid, out_insurance_no, life } = policy;
  const _id = `${mchid}/${out_insurance_no}`;
  await recordStop(storage, { _id, mchid, out_insurance_no, life });
  const stopped = await find(policy);
  assert.deepEqual([stopped?.end, stopped?.sync, stopped?.ended_by], ['STOPPED', 'STOPPED', 'audit']);
  for (const _ of [1, 2]) {
    const restored = await restore(storage, { mchid, out_insurance_no, life: 'second', namespace });
    assert.equal(restored.outcome === 'restored' && restored.document.end, null);
  }
  await writePolicy(storage, { ...policy, life: 'second', step: 2, end: 'STOPPED', ended_at: new Date() });
  const restored = await restore(storage, { mchid, out_insurance_no, life: 'third', namespace });
  assert.equal(restored.outcome === 'restored' && restored.document.end, 'STOPPED', 'this one told it itself');
});

test('a policy that another namespace keeps is neither claimed nor taken over, and that namespace is named', async () => {
  const policy = opened({ namespace });
  await claim(storage, policy);
  const { mchid, out_insurance_no, life } = policy;
  const second = { mchid, out_insurance_no, life: 'second', namespace: 'test' };
  assert.deepEqual(await claim(storage, { ...policy, ...second }), { outcome: 'exists', namespace });
  assert.deepEqual(await restore(storage, { ...second, over: life }), { outcome: 'exists', life, namespace });
  await writePolicy(storage, { ...policy, step: 2, end: 'STOPPED', ended_at: new Date() });
  assert.deepEqual(await restore(storage, second), { outcome: 'exists', life, namespace });
  assert.equal((await restore(storage, { ...second, adopt: true })).outcome, 'restored');
  assert.equal((await find(policy))?.namespace, 'test');
});

test('a record that names no namespace, as those of before, is taken over by any', async () => {
  const policy = opened();
  await claim(storage, policy);
  const { mchid, out_insurance_no, life } = policy;
  const second = { mchid, out_insurance_no, life: 'second', namespace, over: life };
  assert.equal((await restore(storage, second)).outcome, 'restored');
  assert.equal((await find(policy))?.namespace, namespace);
});

test('of two restarts at once one takes over', async () => {
  const policy = opened();
  await claim(storage, policy);
  await writePolicy(storage, { ...policy, step: 2, end: 'STOPPED', ended_at: new Date() });
  const { mchid, out_insurance_no } = policy;
  const answers = await Promise.all(
    ['a', 'b', 'c'].map((life) => restore(storage, { mchid, out_insurance_no, life, namespace })),
  );
  assert.deepEqual(answers.map(({ outcome }) => outcome).sort(), ['exists', 'exists', 'restored']);
});

test('a number that nobody claimed is unknown', async () => {
  const nobody = { mchid: '1900000001', out_insurance_no: 'nobody', life: 'x', namespace };
  assert.deepEqual(await restore(storage, nobody), { outcome: 'unknown' });
  assert.equal(await find(nobody), null);
});

test('a record in part is not restored: field, key and setting are named, and who has the key may restore it', async () => {
  const policy = opened();
  await claim(storage, policy);
  await writePolicy(storage, { ...policy, step: 2, end: 'STOPPED', ended_at: new Date() });
  const other = await connect(database.uri, { keyring: keyring(k2) });
  try {
    const { mchid, out_insurance_no } = policy;
    await assert.rejects(restore(other, { mchid, out_insurance_no, life: 'second', namespace }), (error: Error) => {
      assert.ok(error instanceof StorageUnreadable);
      assert.match(error.message, /^policy \S+, policy\.\S+: no key "k1" .*POLICY_SYNC_KEYS/);
      return true;
    });
    assert.equal((await restore(storage, { mchid, out_insurance_no, life: 'third', namespace })).outcome, 'restored');
  } finally {
    await other.close();
  }
});

test('a life that was taken over writes no more, however high its pair', async () => {
  const policy = opened();
  await claim(storage, policy);
  const { mchid, out_insurance_no, life } = policy;
  await restore(storage, { mchid, out_insurance_no, life: 'second', namespace, over: life });
  assert.equal(await writePolicy(storage, { ...policy, revision: 99 }), 'older');
  assert.equal(await writePolicy(storage, { ...policy, life: 'second', revision: 2 }), 'written');
  assert.equal((await find(policy))?.revision, 2);
});

test('a run is behind another run that wrote a greater pair, and itself only at a greater revision of a smaller step', async () => {
  const policy = opened();
  await claim(storage, policy);
  const own = { ...policy, workflow_run: 'reset', revision: 3, step: 7 };
  assert.equal(await writePolicy(storage, own), 'written');
  const behind = (revision: number, step: number, workflow_run: string) =>
    pairAhead(storage, { ...policy, workflow_run, revision, step });
  const onRecord = { revision: 3, step: 7 };
  assert.deepEqual(await behind(2, 14, 'reset'), onRecord, 'it was replayed to another state');
  assert.equal(await behind(2, 6, 'reset'), undefined, 'a write that comes late');
  assert.equal(await behind(3, 6, 'reset'), undefined, 'one that comes late, of the same revision');
  assert.deepEqual(await behind(3, 6, 'another'), onRecord);
  assert.deepEqual(await behind(2, 14, 'another'), onRecord);
  assert.equal(await behind(3, 8, 'another'), undefined);
  assert.deepEqual(await behind(4, 6, 'another'), { revision: 4, step: 7 }, 'it was reset, and took a message since');
});

test('a run that was reset writes nothing over a greater step of another run, though a message has raised its revision since', async () => {
  const policy = opened();
  await claim(storage, policy);
  assert.equal(await writePolicy(storage, { ...policy, workflow_run: 'before', revision: 3, step: 7 }), 'written');
  assert.equal(await writePolicy(storage, { ...policy, workflow_run: 'reset', revision: 4, step: 5 }), 'older');
  assert.equal((await find(policy))?.revision, 3);
  // The run after it goes on from its steps, and the same run may come late with an earlier one.
  assert.equal(await writePolicy(storage, { ...policy, workflow_run: 'after', revision: 4, step: 7 }), 'written');
  assert.equal(await writePolicy(storage, { ...policy, workflow_run: 'after', revision: 5, step: 6 }), 'written');
});
