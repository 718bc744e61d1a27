import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { RecordInput } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import { WORKFLOW_QUEUE, WORKFLOW_TYPE } from '../workflows/messages.ts';
import { until } from './client_namespace.ts';
import { recordOf, SEED, uniqueNumber } from './fixtures.ts';
import { type Logged, startWorld, type World } from './world.ts';

// What workers say in their log of a policy that goes out of step, and of one that is back: on the dev server.
let world: World;
let stop: () => Promise<void>;
before(async () => {
  world = await startWorld();
  stop = await world.startWorkers();
});
after(() => world?.close());

async function approved(settings: Partial<RecordInput> = {}) {
  const number = uniqueNumber('L');
  const record = recordOf({ out_insurance_no: number, policy_state: APPROVED }, { ...settings, mchid: world.mchid });
  await world.put(record.policy);
  await world.client.openPolicy(record);
  await world.until(number, ({ sync }) => sync === 'SYNCED');
  return { number, policy: { mchid: world.mchid, out_insurance_no: number } };
}

const PATCH = (number: string) => ({ method: 'PATCH', out_insurance_no: number }) as const;
const refusal = (number: string): FaultRule => ({
  match: PATCH(number),
  times: 1,
  do: { status: 400, code: 'PARAM_ERROR', message: `参数错误：${SEED.address}` },
});

/** The lines told of the policy once there are so many; their times and numbers are checked to be there, and left out. */
async function told(number: string, count: number): Promise<Record<string, unknown>[]> {
  await until(async () => world.logged(number).length >= count);
  return world.logged(number).map(briefly);
}

function briefly({ level, message, request_id, revision, synced_revision, state, ...line }: Logged) {
  const standing = [revision, synced_revision, state].every((one) => one !== undefined);
  return { level, ...line, ...(standing && { standing }), ...(request_id !== undefined && { request_id: 'given' }) };
}

const blocked = { level: 'warn', sync: 'BLOCKED', standing: true, code: 'PARAM_ERROR', request_id: 'given' };
const back = { level: 'info', sync: 'SYNCED', standing: true, request_id: 'given' };

describe('the log of a worker', () => {
  it('has a line when a policy is BLOCKED, with code and Request-ID, and one when it is in step again', async () => {
    const { number, policy } = await approved();
    await world.faults(refusal(number));
    await world.client.amend(policy, { address: 'B' });
    assert.deepEqual(await told(number, 1), [blocked]);
    const status = await world.until(number, ({ sync }) => sync === 'BLOCKED');
    assert.equal(world.logged(number)[0]?.request_id, status.block?.request_id);
    await world.client.resume(policy);
    assert.deepEqual(await told(number, 2), [blocked, back]);
    await world.client.amend(policy, { address: 'C' });
    await world.until(number, ({ synced_revision }) => synced_revision === 3);
    assert.equal(world.logged(number).length, 2, 'nothing is said of what goes well');
  });

  it('has one when a policy is refused again after it was mended', async () => {
    const { number, policy } = await approved();
    await world.faults({ ...refusal(number), times: 2 });
    await world.client.amend(policy, { address: 'B' });
    await told(number, 1);
    await world.client.amend(policy, { address: 'C' });
    assert.deepEqual(await told(number, 2), [blocked, blocked]);
  });

  it('has one when a change is RETRYING, with what it met and how often it was tried, however often that is', async () => {
    const { number, policy } = await approved({ retry_alert_after: '2s' });
    const busy = { match: PATCH(number), do: { status: 429, code: 'FREQUENCY_LIMITED' } };
    await world.faults(busy);
    await world.client.amend(policy, { address: 'B' });
    await until(async () => (await world.requests(number)).filter(({ method }) => method === 'PATCH').length > 4);
    const [line, ...others] = await told(number, 1);
    const { attempts, ...rest } = line ?? {};
    const code = 'FREQUENCY_LIMITED';
    assert.deepEqual(rest, { level: 'warn', sync: 'RETRYING', standing: true, code, request_id: 'given' });
    assert.ok(Number(attempts) >= 2, `${attempts}`);
    assert.deepEqual(others, []);
    await world.faults();
    assert.deepEqual((await told(number, 2))[1], back);
  });

  it('has one when a policy is DIVERGED, with the fields, and one when that was accepted', async () => {
    const { number, policy } = await approved();
    await world.patch(number, { policy_state: INACTIVE });
    await world.client.verify(policy);
    const diverged = { level: 'warn', sync: 'DIVERGED', standing: true, fields: ['policy_state'], code: undefined };
    assert.deepEqual(await told(number, 1), [{ ...diverged, request_id: 'given' }]);
    await world.client.accept(policy);
    assert.equal((await told(number, 2))[1]?.sync, 'SYNCED');
  });

  it('has one when a drift was healed: names of fields, no value', async () => {
    const { number, policy } = await approved();
    await world.patch(number, { address: '成都市锦江区春熙路北段77号', plan_id: 4711 });
    await world.client.verify(policy);
    const [line, ...others] = await told(number, 1);
    assert.deepEqual([(line?.healed as string[] | undefined)?.sort(), others], [['address', 'plan_id'], []]);
    assert.doesNotMatch(JSON.stringify(line), /春熙路|4711|晨晖路/);
  });

  it('has one when a policy is STOPPED, and one when it goes on', async () => {
    const { number, policy } = await approved();
    await world.temporal.workflow.getHandle(`policy/${world.mchid}/${number}`).cancel();
    assert.deepEqual(await told(number, 1), [{ level: 'warn', sync: 'STOPPED', standing: true }]);
    await world.client.resume(policy);
    assert.deepEqual((await told(number, 2))[1], back);
  });

  it('has one when the start of a policy is refused, with the rule', { timeout: 30_000 }, async () => {
    const number = uniqueNumber('L');
    const record = recordOf({ out_insurance_no: number, effective_time: 'tomorrow' }, { mchid: world.mchid });
    const started = await world.temporal.workflow.start(WORKFLOW_TYPE, {
      taskQueue: WORKFLOW_QUEUE,
      workflowId: `policy/${world.mchid}/${number}`,
      args: [record],
    });
    await assert.rejects(started.result());
    const { rule, run_id, level }: Partial<Logged> = world.logged(number)[0] ?? {};
    assert.deepEqual([level, run_id], ['warn', started.firstExecutionRunId]);
    assert.match(String(rule), /^[a-z-]+$/);
    assert.equal(world.logged(number).length, 1);
  });

  it('has one when an illegal signal is ignored, with the rule', async () => {
    const { number } = await approved();
    await world.temporal.workflow.getHandle(`policy/${world.mchid}/${number}`).signal('cancel', { cause: 'NONSENSE' });
    assert.deepEqual(await told(number, 1), [{ level: 'warn', command: 'cancel', rule: 'enum' }]);
  });
});

describe('a line of the log', () => {
  it('does not come again from a worker that replays how the policy got there', async () => {
    const { number, policy } = await approved();
    await world.faults(refusal(number));
    await world.client.amend(policy, { address: 'B' });
    await told(number, 1);
    // Nothing of it is in another worker's memory.
    await stop();
    stop = await world.startWorkers();
    await world.client.amend(policy, { address: 'B' });
    assert.deepEqual(await told(number, 1), [blocked]);
    await world.client.resume(policy);
    assert.deepEqual(await told(number, 2), [blocked, back]);
  });
});
