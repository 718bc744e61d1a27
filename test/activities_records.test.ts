import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { recordActivities } from '../activities/records.ts';
import { FORMAT } from '../activities/types/inputs.ts';
import type { Snapshot } from '../activities/types/snapshot.ts';
import { listCalls } from '../storage/calls.ts';
import { listDiscrepancies } from '../storage/discrepancies.ts';
import { documentId, findPolicy } from '../storage/policies.ts';
import { callsOf, type Stage, setStage, turn } from './activities_fixture.ts';

let stage: Stage;
let records: ReturnType<typeof recordActivities>;
before(async () => {
  stage = await setStage();
  records = recordActivities(stage.settings());
});
after(() => stage.stop());

const stored = ({ mchid, out_insurance_no }: Snapshot) => findPolicy(stage.storage, mchid, out_insurance_no);
const claimed = (snapshot: Snapshot) => turn(records.claim, { format: FORMAT, snapshot });
const recorded = (snapshot: Snapshot, end?: 'INACTIVE' | 'STOPPED') =>
  turn(records.record, { format: FORMAT, snapshot, ...(end && { end }) });
const restored = ({ mchid, out_insurance_no }: Snapshot, life: string) =>
  turn(records.restore, { format: FORMAT, mchid, out_insurance_no, life, by: 'resume' });

describe('claim', () => {
  it('takes a number for one life, any number of times, and for no other', async () => {
    const snapshot = await stage.policy();
    for (const _ of [1, 2]) assert.deepEqual((await claimed(snapshot)).result, { outcome: 'claimed' });
    assert.deepEqual((await claimed({ ...snapshot, life: 'another' })).result, { outcome: 'exists' });
    assert.equal((await stored(snapshot))?.life, snapshot.life);
  });

  it('names the Temporal namespace that keeps a number, where it is another one', async () => {
    const snapshot = await stage.policy();
    await claimed(snapshot);
    const _id = documentId(snapshot.mchid, snapshot.out_insurance_no);
    assert.equal((await stored(snapshot))?.namespace, 'test');
    await stage.storage.policies.updateOne({ _id }, { $set: { namespace: 'insurer' } });
    const elsewhere = { outcome: 'exists', namespace: 'insurer' };
    assert.deepEqual((await claimed({ ...snapshot, life: 'another' })).result, elsewhere);
    await stage.storage.policies.updateOne({ _id }, { $set: { end: 'STOPPED' } });
    assert.deepEqual((await restored(snapshot, 'another')).result, elsewhere);
  });

  it('says of a number whose life has ended how it ended', async () => {
    const snapshot = await stage.policy();
    await claimed(snapshot);
    await recorded({ ...snapshot, step: 12 }, 'INACTIVE');
    const { result } = await claimed({ ...snapshot, life: 'another' });
    assert.deepEqual(result, { outcome: 'ended', end: 'INACTIVE' });
  });
});

describe('record', () => {
  it('writes the snapshot over a smaller revision and step only', async () => {
    const snapshot = await stage.policy();
    assert.deepEqual((await recorded({ ...snapshot, sync: 'SYNCED' })).result, { payload_key: 'k1' });
    await recorded({ ...snapshot, sync: 'BLOCKED', step: 8 });
    await recorded({ ...snapshot, sync: 'BLOCKED', revision: 2, step: 90 });
    assert.equal((await stored(snapshot))?.sync, 'SYNCED');
    await recorded({ ...snapshot, sync: 'DIVERGED', step: 12 });
    assert.equal((await stored(snapshot))?.sync, 'DIVERGED');
  });

  it('leaves what WeChat Pay answered, which no snapshot knows', async () => {
    const snapshot = await stage.policy();
    await callsOf(stage).query(snapshot);
    await recorded({ ...snapshot, step: 12 });
    assert.equal((await stored(snapshot))?.remote?.insurance_name, snapshot.record.policy.insurance_name);
  });

  it('writes what verifications found, and the attempts that MongoDB missed', async () => {
    const snapshot = await stage.policy();
    const found = { field: 'address', ours: '甲', theirs: '乙', found_at: Date.now(), kind: 'drift' as const };
    await recorded({
      ...snapshot,
      discrepancies: [{ id: '3.1', ...found, became: 'healing' }],
      owed: [{ workflow_run: 'run-1', activity_id: '5', count: 4, last_code: 'SYSTEM_ERROR', last_request_id: '08A' }],
    });
    await recorded({ ...snapshot, step: 12, discrepancies: [{ id: '3.1', ...found, became: 'healed' }] });
    const policy = documentId(snapshot.mchid, snapshot.out_insurance_no);
    const [discrepancy] = await listDiscrepancies(stage.storage, policy, 10);
    assert.deepEqual([discrepancy?.ours, discrepancy?.theirs, discrepancy?.became], ['甲', '乙', 'healed']);
    const [owed] = await listCalls(stage.storage, policy, 10);
    assert.ok(owed && 'count' in owed);
    assert.deepEqual([owed._id, owed.count, owed.last_request_id], ['run-1/5/owed', 4, '08A']);
  });
});

describe('restore', () => {
  it('gives a new life all that the one before left', async () => {
    const snapshot = { ...(await stage.policy()), version: 7, digest: 'd1', carried: '{"format":1,"found":2}' };
    await claimed(snapshot);
    const { result: answer } = await callsOf(stage).query({ ...snapshot, step: 12 });
    await recorded({ ...snapshot, step: 14 }, 'STOPPED');
    for (const _ of [1, 2]) {
      const { result } = await restored(snapshot, 'new');
      assert.deepEqual(result, {
        outcome: 'restored',
        record: snapshot.record,
        remote: answer?.outcome === 'confirmed' && answer.policy,
        revision: 3,
        synced_revision: 2,
        step: 14,
        version: 7,
        digest: 'd1',
        opened_at: snapshot.opened_at,
        end: 'STOPPED',
        carried: snapshot.carried,
      });
    }
  });

  it('gives nothing of a policy that lives, and nothing of one that never was', async () => {
    const snapshot = await stage.policy();
    assert.deepEqual((await restored(snapshot, 'new')).result, { outcome: 'unknown' });
    await claimed(snapshot);
    assert.deepEqual((await restored(snapshot, 'new')).result, { outcome: 'exists' });
  });
});

describe('a record activity', () => {
  it('with an input of a newer format waits for a newer worker', async () => {
    const snapshot = await stage.policy();
    const format = (FORMAT + 1) as typeof FORMAT;
    const { mchid, out_insurance_no } = snapshot;
    for (const { failure } of [
      await turn(records.claim, { format, snapshot }),
      await turn(records.record, { format, snapshot }),
      await turn(records.restore, { format, mchid, out_insurance_no, life: 'new', by: 'resume' }),
    ])
      assert.deepEqual([failure?.type, failure?.nonRetryable], ['format', false]);
    assert.equal(await stored(snapshot), null);
  });

  it('is retried while MongoDB is down, by a failure of one line', async () => {
    const snapshot = await stage.policy();
    await stage.line.cut();
    const { failure } = await recorded(snapshot);
    await stage.line.mend();
    assert.deepEqual(
      [failure?.type, failure?.nonRetryable, failure?.category],
      ['StorageUnavailable', false, 'BENIGN'],
    );
    assert.match(String(failure?.message), /^MongoDB at 127\.0\.0\.1:\d+ is not available .*MONGODB_URI$/);
    assert.deepEqual((await recorded(snapshot)).result, { payload_key: 'k1' });
  });
});
