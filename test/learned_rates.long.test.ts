// A WeChat Pay that takes fewer calls a second than the setting says, and tells nobody how many: two workers find out.
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import proto from '@temporalio/proto';
import { eachAtOnce } from '../command/at_once.ts';
import { WechatPay } from '../command/story/wechatpay.ts';
import { superviseWorker } from '../command/story/worker_process.ts';
import { APPROVED } from '../policy/state.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { queueRate } from '../worker/queue_rate.ts';
import { callQueueOf } from '../workflows/messages.ts';
import { until } from './client_namespace.ts';
import { type Stage, setStage } from './client_stage.ts';
import { MCHID, recordOf, uniqueNumber } from './fixtures.ts';

const [SETTING, TAKEN] = [60, 12];
/** Verified every five seconds, they ask for many times what is taken. */
const POLICIES = 150;
const [LEARNING_MS, WATCHED_MS] = [60_000, 60_000];
const CHANGES = 10;

let stage: Stage;
let other: Awaited<ReturnType<typeof superviseWorker>>;
before(async () => {
  stage = await setStage();
  const file = join(stage.directory, 'merchants.json');
  const merchants = JSON.parse(await readFile(file, 'utf8'));
  merchants[MCHID].requests_per_second = SETTING;
  await writeFile(file, JSON.stringify(merchants));
  const logFile = join(stage.directory, 'other.log');
  other = await superviseWorker({ env: stage.env, logFile, log: () => {} });
});
after(async () => {
  await other?.stop();
  await stage?.stop();
});

const requestsAfter = async (n: number): Promise<LoggedRequest[]> => {
  const answer = await fetch(`${stage.sandboxUrl}/_sandbox/requests?after=${n}`);
  return (await answer.json()) as LoggedRequest[];
};

async function limit(requests_per_second: number | null): Promise<void> {
  const body = JSON.stringify({ requests_per_second });
  const answer = await fetch(`${stage.sandboxUrl}/_sandbox/limit`, { method: 'PUT', body });
  assert.equal(answer.status, 200);
}

const limitNow = () => queueRate(stage.client.temporal, MCHID);

async function opened(): Promise<string[]> {
  const wechatpay = new WechatPay(stage.sandboxUrl);
  const numbers = Array.from({ length: POLICIES }, () => uniqueNumber('L'));
  await eachAtOnce(numbers, 16, async (out_insurance_no) => {
    const changes = { out_insurance_no, support_renewal: false };
    const record = recordOf({ ...changes, policy_state: APPROVED }, { verification: { every: '5s' } });
    await wechatpay.put(out_insurance_no, record.policy);
    await stage.client.openPolicy(record);
  });
  return numbers;
}

describe('a rate that WeChat Pay never published', () => {
  it('is found in a minute: hardly a call is throttled after it, most of it is used, and changes of users go first', async (t) => {
    const numbers = await opened();
    const asked = async () => new Set((await requestsAfter(0)).map(({ path }) => path.split('/').at(-1))).size;
    await until(async () => (await asked()) === POLICIES, 120_000);
    await limit(TAKEN);
    await delay(LEARNING_MS);
    const [{ n: last } = { n: 0 }] = (await requestsAfter(0)).slice(-1);
    const begun = performance.now();

    const overtaken: number[] = [];
    for (const out_insurance_no of numbers.slice(0, CHANGES)) {
      const [{ n: before } = { n: last }] = (await requestsAfter(last)).slice(-1);
      await stage.client.amend({ mchid: MCHID, out_insurance_no }, { address: `${out_insurance_no} road` });
      let patch: LoggedRequest | undefined;
      await until(async () => {
        const came = await requestsAfter(last);
        patch = came.find((it) => it.method === 'PATCH' && it.path.endsWith(out_insurance_no) && it.status === 200);
        return patch !== undefined;
      }, 60_000);
      overtaken.push((patch?.n ?? 0) - before);
    }
    await delay(Math.max(0, WATCHED_MS - (performance.now() - begun)));
    const seconds = (performance.now() - begun) / 1000;
    const made = await requestsAfter(last);
    const throttled = made.filter(({ status }) => status === 429).length;
    const used = (made.length - throttled) / seconds / TAKEN;
    t.diagnostic(
      `${made.length} calls in ${seconds.toFixed(0)} s: ${throttled} throttled, ${(100 * used).toFixed(0)} % of the rate used; calls that went before a change: ${overtaken.join(', ')}; limit ${JSON.stringify(await limitNow())}`,
    );
    assert.ok(throttled <= made.length * 0.01, `${throttled} of ${made.length}`);
    assert.ok(used >= 0.85, `${used}`);
    assert.ok(
      overtaken.every((calls) => calls <= POLICIES / 2),
      overtaken.join(),
    );
  });

  it('is raised by quiet minutes once WeChat Pay takes more', async () => {
    const { rate = 0 } = await limitNow();
    assert.ok(rate > 0 && rate < SETTING);
    await limit(null);
    await until(async () => ((await limitNow()).rate ?? SETTING) > rate, 150_000);
  });

  it('is left to the person who set a limit by hand', async () => {
    const { workflowService, options } = stage.client.temporal;
    const set = (requestsPerSecond: number) =>
      workflowService.updateTaskQueueConfig({
        namespace: options.namespace,
        taskQueue: callQueueOf(MCHID),
        taskQueueType: proto.temporal.api.enums.v1.TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        identity: 'operator',
        updateQueueRateLimit: { rateLimit: { requestsPerSecond }, reason: 'as WeChat Pay told us' },
      });
    await set(30);
    await limit(TAKEN);
    const [{ n: last } = { n: 0 }] = (await requestsAfter(0)).slice(-1);
    const throttled = async () => (await requestsAfter(last)).filter(({ status }) => status === 429).length;
    await until(async () => (await throttled()) > 20, 60_000);
    assert.deepEqual([(await limitNow()).rate, (await limitNow()).ours], [30, false]);
  });
});
