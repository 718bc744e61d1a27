// What a worker erases by itself.
import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { WechatPay } from '../command/story/wechatpay.ts';
import { workflowIdOf } from '../policy/record.ts';
import { connect, type Storage } from '../storage/connection.ts';
import { emptyRecord, standingOf } from '../storage/erasure.ts';
import { keepRetention } from '../worker/retention.ts';
import { until } from './client_namespace.ts';
import { type Stage, setStage } from './client_stage.ts';
import { leftOf, personOf } from './erasure_fixture.ts';
import { DAY, MCHID, recordOf, uniqueNumber } from './fixtures.ts';

// Without payload keys: whatever is left is there to be read.
let stage: Stage;
let storage: Storage;
before(async () => {
  stage = await setStage({ keys: null });
  storage = await connect(String(stage.env.MONGODB_URI), { keyring: undefined });
});
after(async () => {
  await storage?.close();
  await stage?.stop();
});

const of = (out_insurance_no: string) => ({ mchid: MCHID, out_insurance_no });
const left = (number: string) => leftOf(number, storage, stage);

describe('an erasure by a worker', { timeout: 180_000 }, () => {
  it('is done once a day of policies that ended longer ago than their personal data are kept', async (t) => {
    const [old, young] = [await declined(), await declined()];
    const _id = `${MCHID}/${old}`;
    await storage.policies.updateOne({ _id }, { $set: { ended_at: new Date(Date.now() - 10 * DAY) } });
    const { said, end } = await retention(t);
    await until(async () => said.length > 0, 60_000);
    await end();
    assert.deepEqual(said, ['personal data of policies that ended long ago are erased']);
    assert.deepEqual(await left(old), []);
    assert.notDeepEqual(await left(young), []);
  });

  it('that was cut short is finished by the worker that does so', async (t) => {
    const number = await declined();
    const standing = await standingOf(storage, `${MCHID}/${number}`);
    assert.ok(standing && (await emptyRecord(storage, standing)));
    assert.notDeepEqual(await left(number), []);
    const { said, end } = await retention(t);
    await until(async () => said.length > 0, 60_000);
    await end();
    assert.deepEqual(await left(number), []);
  });

  it('holds up no worker that shuts down, though a workflow does not stop', async (t) => {
    const number = await declined();
    const _id = `${MCHID}/${number}`;
    await storage.policies.updateOne({ _id }, { $set: { ended_at: new Date(Date.now() - 10 * DAY) } });
    const { workflow } = stage.client.temporal;
    const handle = await workflow.start('deaf', { workflowId: workflowIdOf(MCHID, number), taskQueue: 'nobody' });
    t.after(() => handle.terminate());
    const { end } = await retention(t);
    const asked = async () =>
      ((await handle.fetchHistory()).events ?? []).some((one) => one.workflowExecutionCancelRequestedEventAttributes);
    await until(asked, 60_000);
    const late = new AbortController();
    const ended = end().then(() => 'ended');
    assert.equal(await Promise.race([ended, delay(15_000, 'late', { signal: late.signal })]), 'ended');
    late.abort();
  });
});

/** What a worker does by itself, from now on. */
async function retention(t: TestContext) {
  await storage.sweeps.deleteMany({});
  const said: string[] = [];
  const say = (_: unknown, message: string) => said.push(message);
  const log = { debug() {}, warn: say, error: say, info: say } as never;
  const enough = new AbortController();
  t.after(() => enough.abort());
  const forever = Number.POSITIVE_INFINITY;
  const kept = { calls: forever, commands: forever, discrepancies: forever, events: forever, personal: 5 * DAY };
  const keeping = keepRetention({ storage, log }, stage.client.temporal, kept, enough.signal);
  const end = async (): Promise<void> => {
    enough.abort();
    await keeping;
  };
  return { said, end };
}

/** Its life is over, and its workflow too, which ends after its record has its end. */
async function declined(): Promise<string> {
  const number = uniqueNumber('D');
  const { insured_name_list, address } = personOf(number);
  const record = recordOf({ out_insurance_no: number, insured_name_list, address });
  await new WechatPay(stage.sandboxUrl).put(number, record.policy);
  await stage.client.openPolicy(record);
  await stage.client.decline(of(number), { reason: personOf(number).reason });
  await until(async () => (await storage.policies.findOne({ _id: `${MCHID}/${number}` }))?.end === 'DECLINED');
  await stage.client.temporal.workflow.getHandle(workflowIdOf(MCHID, number)).result();
  return number;
}
