// What calls record of a policy that is recorded, or fails to be recorded, beside them.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { recordActivities } from '../activities/records.ts';
import { FORMAT } from '../activities/types/inputs.ts';
import type { Snapshot } from '../activities/types/snapshot.ts';
import type { PolicyFields } from '../policy/record.ts';
import { findPolicy } from '../storage/policies.ts';
import { WechatPay } from '../wechatpay/client.ts';
import { callsOf, MINUTE, type Stage, setStage, turn, WEEK } from './activities_fixture.ts';

const APPROVAL: PolicyFields = { policy_state: 'POLICY_STATE_APPROVED', policy_code: 'C1' };

let stage: Stage;
before(async () => {
  stage = await setStage();
});
after(() => stage.stop());

const stored = (snapshot: Snapshot) => findPolicy(stage.storage, snapshot.mchid, snapshot.out_insurance_no);
const recorded = (snapshot: Snapshot) => turn(recordActivities(stage.settings()).record, { format: FORMAT, snapshot });

describe('a verification', () => {
  it('is recorded though a record that was owed is written at a greater step while it goes on', async () => {
    const snapshot = await stage.policy();
    await recorded({ ...snapshot, step: snapshot.step + 8 });
    const delay = Number((await callsOf(stage).verify(snapshot)).failure?.nextRetryDelay);
    assert.ok(Math.abs(Number((await stored(snapshot))?.next_verification_at) - Date.now() - delay) < 10_000);
    const from = Date.now();
    const { failure } = await callsOf(stage).verify(snapshot, {}, { attempt: 2, waited: 2 * MINUTE });
    assert.doesNotMatch(failure?.message ?? '', /not recorded/);
    const found = await stored(snapshot);
    assert.ok(Number(found?.verified_at) >= from && Number(found?.observed_at) >= from);
    assert.equal(found?.remote?.insurance_name, snapshot.record.policy.insurance_name);
    assert.equal(found?.step, snapshot.step + 8);
  });

  it('says that it is not recorded where another revision is on record, and comes again within ten minutes', async () => {
    const snapshot = await stage.policy();
    await recorded({ ...snapshot, revision: 4, step: snapshot.step + 8 });
    const { failure } = await callsOf(stage).verify(snapshot, {}, { attempt: 9, waited: 3 * WEEK });
    assert.match(failure?.message ?? '', /not recorded/);
    assert.equal(Number(failure?.nextRetryDelay), 10 * MINUTE);
    assert.equal((await stored(snapshot))?.verified_at, undefined);
  });
});

describe('while MongoDB is away before a request, and back after it', () => {
  it('the answer is owed with its record: the document claims no revision whose record it has not got', async () => {
    const former = await stage.policy();
    await recorded(former);
    const client = new WechatPay(stage.merchant);
    const { updatePolicy } = client;
    client.updatePolicy = async (...call) => {
      await stage.line.mend();
      return updatePolicy.apply(client, call);
    };
    await stage.line.cut();
    const policy = { ...former.record.policy, ...APPROVAL } as typeof former.record.policy;
    const snapshot = { ...former, record: { ...former.record, policy }, revision: 4, step: 20 };
    const { result } = await callsOf(stage, { wechatPay: () => client }).push(snapshot, APPROVAL);
    assert.deepEqual([result?.outcome, result?.recorded], ['confirmed', false]);
    const found = await stored(snapshot);
    assert.deepEqual([found?.revision, found?.step], [3, 10]);
    assert.deepEqual(found?.record.policy.policy_state, former.record.policy.policy_state);
    await recorded({ ...snapshot, step: 22 });
    assert.equal((await stored(snapshot))?.record.policy.policy_state, APPROVAL.policy_state);
  });
});
