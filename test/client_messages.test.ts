import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { NotSynced, PolicyEnded, PolicyRefused } from '../client/errors.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import type { PolicyId } from '../client/start_operation.ts';
import { waitSynced } from '../client/wait.ts';
import { WechatPay } from '../command/story/wechatpay.ts';
import { type RecordInput, workflowIdOf } from '../policy/record.ts';
import { wireTime } from '../policy/time.ts';
import { until } from './client_namespace.ts';
import { type Stage, setStage } from './client_stage.ts';
import { DAY, MCHID, recordOf, uniqueNumber } from './fixtures.ts';

let stage: Stage;
let client: PolicyClient;
let wechatpay: WechatPay;

before(async () => {
  stage = await setStage();
  client = stage.client;
  wechatpay = new WechatPay(stage.sandboxUrl);
});
after(() => stage?.stop());

const CODE = 'C0123456789';
const APPROVED = 'POLICY_STATE_APPROVED';
const INACTIVE = 'POLICY_STATE_INACTIVE';

/** A policy that WeChat Pay has, opened with us and confirmed. */
async function opened(
  changes: Partial<RecordInput['policy']> = {},
  settings: Partial<RecordInput> = {},
): Promise<{ policy: PolicyId; record: RecordInput }> {
  const record = recordOf({ out_insurance_no: uniqueNumber(), ...changes }, settings);
  const policy = { mchid: MCHID, out_insurance_no: record.policy.out_insurance_no };
  await wechatpay.put(policy.out_insurance_no, record.policy);
  const { revision, warnings } = await client.openPolicy(record);
  await waitSynced(client, policy, revision);
  assert.deepEqual(warnings, []);
  return { policy, record };
}

/** Waits until WeChat Pay holds what the answer's revision says; what it holds then. */
async function heldAfter(policy: PolicyId, { revision }: { revision: number }): Promise<Record<string, unknown>> {
  await waitSynced(client, policy, revision);
  return (await wechatpay.policy(policy.out_insurance_no)) ?? {};
}

function refusedBy(rule: string): (error: unknown) => boolean {
  return (error) => error instanceof PolicyRefused && error.rule === rule;
}

function ended(ending: string): (error: unknown) => boolean {
  return (error) => error instanceof PolicyEnded && error.ending === ending;
}

describe('open', { concurrency: 4 }, () => {
  it('answers the same for the same record, also after amendments; another record for the number is refused', async () => {
    const { policy, record } = await opened();
    await client.amend(policy, { plan_id: 4711 });
    const again = await client.openPolicy(record);
    assert.deepEqual([again.revision, again.outcome], [1, 'accepted']);
    const other = { ...record, policy: { ...record.policy, plan_id: 1 } };
    await assert.rejects(client.openPolicy(other), refusedBy('exists'));
    assert.equal((await client.status(policy)).revision, 2);
  });

  it('succeeds for a merchant whom no worker serves, with a warning that says so', async () => {
    const record = { ...recordOf({ out_insurance_no: uniqueNumber() }), mchid: '1900000009' };
    const { outcome, warnings } = await client.openPolicy(record);
    assert.equal(outcome, 'accepted');
    assert.match(warnings.join(), /no worker serves merchant 1900000009.*WECHATPAY_MERCHANTS/);
  });

  it('uploads a policy that WeChat Pay has not got, where the record says how', async () => {
    const out_insurance_no = uniqueNumber();
    const upload = { appid: 'wx0000000000000000', openid: 'oTest' };
    const more = { insurance_company_code: 'TEST', free_insurance: false };
    const record = recordOf({ out_insurance_no, ...more }, { upload });
    const held = await heldAfter({ mchid: MCHID, out_insurance_no }, await client.openPolicy(record));
    assert.equal(held.insurance_company_code, 'TEST');
  });
});

describe('messages', { concurrency: 4 }, () => {
  it('approve: ISSUING becomes APPROVED, with its policy_code', async () => {
    const { policy } = await opened();
    const answer = await client.approve(policy, { policy_code: CODE });
    assert.deepEqual(answer, { revision: 2, outcome: 'accepted' });
    const held = await heldAfter(policy, answer);
    assert.deepEqual([held.policy_state, held.policy_code], [APPROVED, CODE]);
    assert.deepEqual(await client.approve(policy, { policy_code: CODE }), { revision: 2, outcome: 'unchanged' });
  });

  it('decline: ends the policy; whoever comes later is told so, and can still see how it stood', async () => {
    const { policy, record } = await opened();
    const held = await heldAfter(policy, await client.decline(policy, { reason: 'too risky' }));
    assert.equal(held.policy_state, 'POLICY_STATE_DECLINED');
    const handle = client.temporal.workflow.getHandle(workflowIdOf(policy.mchid, policy.out_insurance_no));
    await handle.result();
    for (const late of [
      () => client.approve(policy, { policy_code: CODE }),
      () => client.cancelBySignal(policy),
      () => client.resume(policy),
      () => client.openPolicy({ ...record, policy: { ...record.policy, plan_id: 1 } }),
    ])
      await assert.rejects(late, ended('COMPLETED'));
    assert.equal((await client.openPolicy(record)).outcome, 'accepted');
    assert.equal((await client.status(policy)).state, 'DECLINED');
  });

  it('an illegal transition is refused with its rule, and leaves no trace', async () => {
    const { policy } = await opened({ policy_state: APPROVED });
    await assert.rejects(client.decline(policy, { reason: 'too late' }), refusedBy('illegal-transition'));
    await assert.rejects(client.amend(policy, { address: '' }), refusedBy('cannot-clear'));
    assert.equal((await client.status(policy)).revision, 1);
  });

  it('cancel: by update and by signal; withdraw takes back one to come', async () => {
    const { policy } = await opened({ policy_state: APPROVED });
    await client.cancel(policy, { at: wireTime(Date.now() + DAY), cause: 'LAPSE' });
    assert.equal((await client.status(policy)).cancellation?.cause, 'LAPSE');
    await client.withdraw(policy);
    assert.equal((await client.status(policy)).cancellation, null);
    await client.cancelBySignal(policy, { reason: 'asked for' });
    await until(async () => (await wechatpay.policy(policy.out_insurance_no))?.policy_state === INACTIVE);
    const other = await opened({ policy_state: APPROVED });
    const held = await heldAfter(other.policy, await client.cancel(other.policy));
    assert.equal(held.policy_state, INACTIVE);
  });

  it('amend: personal fields and others, replaced at WeChat Pay', async () => {
    const { policy } = await opened({ policy_state: APPROVED });
    const fields = { address: '北京市海淀区1号', insured_name_list: ['李四'], plan_id: 4711 };
    const held = await heldAfter(policy, await client.amend(policy, fields));
    assert.deepEqual([held.address, held.insured_name_list, held.plan_id], Object.values(fields));
  });

  it('renew: a new term, or another policy that continues this one', async () => {
    const { policy } = await opened({ policy_state: APPROVED });
    const expired_time = wireTime(Date.now() + 2 * 365 * DAY);
    const held = await heldAfter(policy, await client.renew(policy, { expired_time, policy_code: CODE }));
    assert.deepEqual([held.expired_time, held.policy_code], [expired_time, CODE]);
    const closed = await heldAfter(policy, await client.renew(policy, { as: uniqueNumber() }));
    assert.equal(closed.support_renewal, false);
  });

  it('verify: answers what differs; accept makes it ours', async () => {
    const { policy } = await opened({ policy_state: APPROVED }, { verification: { on_drift: 'report' } });
    assert.deepEqual((await client.verify(policy)).differences, []);
    await wechatpay.change(policy.out_insurance_no, { policy_state: INACTIVE });
    const { differences } = await client.verify(policy);
    assert.deepEqual(differences, [{ field: 'policy_state', ours: APPROVED, theirs: INACTIVE }]);
    await until(async () => (await client.status(policy)).sync === 'DIVERGED');
    const { outcome } = await client.accept(policy);
    assert.equal(outcome, 'accepted');
    assert.equal((await client.status(policy)).state, 'INACTIVE');
  });

  it('an event_id that is known gets its first answer; a version not above the last is superseded', async () => {
    const { policy } = await opened({ policy_state: APPROVED });
    const first = await client.amend(policy, { plan_id: 1, event_id: 'e1', version: 5 });
    assert.deepEqual(await client.amend(policy, { plan_id: 1, event_id: 'e1', version: 5 }), first);
    const late = await client.amend(policy, { plan_id: 2, version: 5 });
    assert.deepEqual(late, { revision: first.revision, outcome: 'superseded' });
  });
});

describe('waiting', { concurrency: 4 }, () => {
  it('ends with the reason where a person has to act; resume goes on', async () => {
    const { policy } = await opened({ policy_state: APPROVED });
    const fault = { match: { method: 'PATCH', out_insurance_no: policy.out_insurance_no }, times: 1 };
    const faults = [{ ...fault, do: { status: 403, code: 'RULE_LIMIT' } }];
    await fetch(`${stage.sandboxUrl}/_sandbox/faults`, { method: 'PUT', body: JSON.stringify(faults) });
    const { revision } = await client.amend(policy, { plan_id: 2 });
    await assert.rejects(waitSynced(client, policy, revision), (error: unknown) => {
      return error instanceof NotSynced && error.reason === 'BLOCKED' && /RULE_LIMIT/.test(error.message);
    });
    await client.resume(policy);
    assert.equal((await waitSynced(client, policy, revision)).sync, 'SYNCED');
  });

  it('ends by the time-out where WeChat Pay was not brought up to it', async () => {
    const { policy } = await opened();
    await assert.rejects(waitSynced(client, policy, 99, { timeout: 200 }), (error: unknown) => {
      return error instanceof NotSynced && error.reason === 'TIMEOUT';
    });
  });
});

describe('a life that was over begins again from its record', { concurrency: 2 }, () => {
  it('resume: after it was stopped by cancelling its workflow', async () => {
    const { policy } = await opened({ policy_state: APPROVED });
    const handle = client.temporal.workflow.getHandle(workflowIdOf(policy.mchid, policy.out_insurance_no));
    await handle.cancel();
    await assert.rejects(handle.result());
    await assert.rejects(client.amend(policy, { plan_id: 2 }), ended('CANCELLED'));
    await assert.rejects(client.reinstate(policy, { reason: 'paid' }), refusedBy('stopped'));
    await client.resume(policy);
    const held = await heldAfter(policy, await client.amend(policy, { plan_id: 2 }));
    assert.equal(held.plan_id, 2);
  });

  it('reinstate: after its life was over', async () => {
    const { policy } = await opened({ policy_state: APPROVED }, { reinstatement_within: '0s' });
    const { revision } = await client.cancel(policy, { cause: 'LAPSE' });
    await client.temporal.workflow.getHandle(workflowIdOf(policy.mchid, policy.out_insurance_no)).result();
    const answer = await client.reinstate(policy, { reason: 'paid' });
    assert.ok(answer.revision > revision);
    assert.equal((await heldAfter(policy, answer)).policy_state, APPROVED);
  });

  it('a number that nobody knows is no life', async () => {
    const policy = { mchid: MCHID, out_insurance_no: uniqueNumber() };
    await assert.rejects(client.reinstate(policy, { reason: 'paid' }), { name: 'UnknownPolicy' });
  });
});
