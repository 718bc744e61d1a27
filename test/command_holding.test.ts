import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import type { WechatPay } from '../command/story/wechatpay.ts';
import type { SentToAll } from '../command/to_all.ts';
import type { POLICY_TYPES } from '../policy/fields.ts';
import { workflowIdOf } from '../policy/record.ts';
import { APPROVED } from '../policy/state.ts';
import { until } from './client_namespace.ts';
import type { Stage } from './client_stage.ts';
import { policyCommands } from './command_policies_fixture.ts';
import { MCHID, recordOf, uniqueNumber } from './fixtures.ts';

const on = policyCommands();
const { run, json, opened } = on;
let stage: Stage;
let wechatpay: WechatPay;
before(async () => {
  ({ stage, wechatpay } = await on.ready());
});

const TYPE = 'POLICY_TYPE_LIFE';
const filter = ['--all', '--type', TYPE];

const syncOf = async (out_insurance_no: string): Promise<string> =>
  (await stage.client.status({ mchid: MCHID, out_insurance_no })).sync;

/** Temporal's search is seconds old at most: the same again until it finds all. */
async function toAll(words: string[], expected: Partial<SentToAll>): Promise<void> {
  await until(async () => {
    const told = await json<SentToAll>([...words, ...filter]);
    return Object.entries(expected).every(([name, count]) => told[name as keyof SentToAll] === count);
  });
}

describe('all that a filter finds', () => {
  it('are put on hold, let go, observed and handed over, and no other policy is touched', async () => {
    const other = await opened({ policy_state: APPROVED });
    const numbers = await Promise.all([1, 2, 3].map(() => opened({ policy_state: APPROVED, policy_type: TYPE })));
    const all = async (sync: string): Promise<void> => {
      for (const number of numbers) await until(async () => (await syncOf(number)) === sync);
    };
    await toAll(['hold', '--reason', 'an incident'], { unchanged: 3, accepted: 0, failed: 0 });
    await all('HELD');
    await toAll(['unhold'], { unchanged: 3 });
    await all('SYNCED');
    await toAll(['observe', 'on'], { unchanged: 3 });
    await all('OBSERVED');
    await toAll(['observe', 'off'], { unchanged: 3 });
    await all('SYNCED');
    assert.equal((await stage.client.status({ mchid: MCHID, out_insurance_no: other })).revision, 1);
    assert.match((await run(['unhold', ...filter])).stdout, /^0 accepted, 3 unchanged, 0 superseded, 0 failed\n$/);
  });

  it('or one policy: not both, not neither, and nobody waits for all', async () => {
    for (const words of [
      ['hold', '--reason', 'r'],
      ['unhold', 'X1', '--all'],
      ['unhold', '--all', '--wait'],
      ['observe', 'maybe', 'X1'],
    ]) {
      const { code, stderr } = await run(words);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /^policy-sync: [^\n]+\n$/);
    }
  });
});

describe('resume of all that a filter finds', () => {
  /** Opened with us alone: WeChat Pay does not know it, so it is BLOCKED. */
  const blocked = async (policy_type: (typeof POLICY_TYPES)[number]): Promise<string> => {
    const record = recordOf({ out_insurance_no: uniqueNumber(), policy_state: APPROVED, policy_type });
    await stage.client.openPolicy(record);
    const number = record.policy.out_insurance_no;
    await until(async () => (await syncOf(number)) === 'BLOCKED');
    await wechatpay.put(number, record.policy);
    return number;
  };

  /** MongoDB has it a moment later than the policy itself says it. */
  const resumed = (words: string[], accepted: number): Promise<void> =>
    until(async () => (await json<SentToAll>(['resume', '--all', ...words])).accepted === accepted);

  it('goes on with those that are BLOCKED, and with no other', async () => {
    const [one, other] = [await blocked('POLICY_TYPE_PET'), await blocked('POLICY_TYPE_ACCIDENT')];
    await resumed(['--sync', 'BLOCKED', '--type', 'POLICY_TYPE_PET'], 1);
    await until(async () => (await syncOf(one)) === 'SYNCED');
    assert.equal(await syncOf(other), 'BLOCKED');
  });

  it('goes on with those that are STOPPED', async () => {
    const number = await opened({ policy_state: APPROVED });
    const workflow = stage.client.temporal.workflow.getHandle(workflowIdOf(MCHID, number));
    await workflow.cancel();
    await assert.rejects(workflow.result());
    await resumed(['--sync', 'STOPPED'], 1);
    await until(async () => (await syncOf(number)) === 'SYNCED');
  });

  it('takes a mark off those that bear it', async () => {
    const number = await opened();
    const workflow = stage.client.temporal.workflow.getHandle(workflowIdOf(MCHID, number));
    await workflow.signal('cancel', { cause: 'NONSENSE' });
    const marks = async () => (await stage.client.status({ mchid: MCHID, out_insurance_no: number })).attention;
    await until(async () => (await marks()).includes('refused-signal:enum'));
    await resumed(['--mark', 'refused-signal:enum'], 1);
    assert.deepEqual(await marks(), []);
  });

  it('is of nothing that nobody named', async () => {
    const { code, stderr } = await run(['resume', '--all']);
    assert.equal(code, 2);
    assert.equal(stderr, 'policy-sync: resume: with --all, say which: --sync or --mark\n');
  });
});

describe('import --observe', () => {
  it('opens policies that are watched and not written, whatever WeChat Pay holds; a record may say otherwise', async () => {
    const records = [{}, { observe: false }].map((settings) =>
      recordOf({ out_insurance_no: uniqueNumber(), policy_state: APPROVED }, { adopt: 'push', ...settings }),
    );
    for (const { policy } of records) await wechatpay.put(policy.out_insurance_no, { ...policy, plan_id: 7 });
    const file = join(stage.directory, 'observed.jsonl');
    await writeFile(file, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
    assert.equal((await json<{ opened: number }>(['import', file, '--observe'])).opened, 2);
    const [watched = '', written = ''] = records.map(({ policy }) => policy.out_insurance_no);
    await until(async () => (await syncOf(written)) === 'SYNCED');
    await until(
      async () => (await stage.client.status({ mchid: MCHID, out_insurance_no: watched })).diverged.length > 0,
    );
    assert.equal(await syncOf(watched), 'OBSERVED');
    assert.deepEqual(
      [(await wechatpay.policy(watched))?.plan_id, (await wechatpay.policy(written))?.plan_id],
      [7, 12535],
    );
  });
});
