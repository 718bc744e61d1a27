// A change of the workflow code goes out over policies that live, is taken back, and goes out again: docs/evolving.md.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { currentVersion, DEPLOYMENT } from '../client/fleet.ts';
import type { PolicyId } from '../client/start_operation.ts';
import { waitSynced } from '../client/wait.ts';
import { eachAtOnce } from '../command/at_once.ts';
import { WechatPay } from '../command/story/wechatpay.ts';
import { workflowIdOf } from '../policy/record.ts';
import { until } from './client_namespace.ts';
import { type Stage, setStage } from './client_stage.ts';
import { FOLLOWS, MAKES, makeRelease, type Release, startRelease } from './evolving_releases.ts';
import { MCHID, recordOf, uniqueNumber } from './fixtures.ts';

const POLICIES = Number(process.env.EVOLVING_POLICIES ?? 200);
const AT_ONCE = 16;

let stage: Stage;
/** The release of today, which knows nothing of the change; one that follows it; one that makes it. */
let today: string;
let follows: Release;
let makes: Release;
const started: Release[] = [];
const policies: PolicyId[] = [];

before(async () => {
  stage = await setStage();
  const { workflowService, options } = stage.client.temporal;
  await until(async () => {
    today = (await currentVersion(workflowService, options.namespace)) ?? '';
    return today !== '';
  });
  const release = async (name: string, edits: typeof FOLLOWS): Promise<Release> => {
    const folder = join(stage.directory, name);
    await makeRelease(folder, edits);
    const one = await startRelease(folder, stage.env);
    started.push(one);
    return one;
  };
  [follows, makes] = await Promise.all([release('follows', FOLLOWS), release('makes', MAKES)]);
});
after(async () => {
  await Promise.all(started.map(({ worker }) => worker.stop()));
  await stage?.stop();
});

const deployment = () => ({ namespace: stage.client.temporal.options.namespace, deploymentName: DEPLOYMENT });

async function makeCurrent(buildId: string): Promise<void> {
  const version = { ...deployment(), buildId, ignoreMissingTaskQueues: true };
  await stage.client.temporal.workflowService.setWorkerDeploymentCurrentVersion(version);
}

/** @param buildId empty: none */
async function ramp(buildId: string, percentage: number): Promise<void> {
  const version = { ...deployment(), buildId, percentage, ignoreMissingTaskQueues: true };
  await stage.client.temporal.workflowService.setWorkerDeploymentRampingVersion(version);
}

/** So many at a time; where one fails, the words of the tasks that did tell more. */
async function all(some: readonly PolicyId[], act: (policy: PolicyId) => Promise<unknown>): Promise<void> {
  await eachAtOnce(some, AT_ONCE, async (policy) => void (await act(policy))).catch(async (cause: unknown) => {
    throw new Error(`failed tasks: ${(await failedTasks()).join('; ') || 'none'}`, { cause });
  });
}

/** Each policy takes a change, which reaches WeChat Pay: whatever stands still is found. */
async function changeAll(address: string): Promise<void> {
  await all(policies, async (policy) => {
    const { revision } = await stage.client.amend(policy, { address });
    await waitSynced(stage.client, policy, revision, { timeout: 120_000 });
  });
}

const describeOf = (policy: PolicyId) =>
  stage.client.temporal.workflow.getHandle(workflowIdOf(MCHID, policy.out_insurance_no)).describe();

async function surrender(policy: PolicyId): Promise<void> {
  const { revision } = await stage.client.cancel(policy, { reason: 'moved abroad' });
  await waitSynced(stage.client, policy, revision, { timeout: 120_000 });
}

/** Words of the workflow tasks that failed, of all policies. */
async function failedTasks(): Promise<string[]> {
  const found: string[] = [];
  await eachAtOnce(policies, AT_ONCE, async (policy) => {
    // Those that were never opened have none.
    for (const { workflowTaskFailedEventAttributes: failed } of await events(policy).catch(() => []))
      if (failed) found.push(`${policy.out_insurance_no}: ${failed.failure?.message}`);
  });
  return found;
}

/** How many policies did their last task on each version. */
async function versions(): Promise<Record<string, number>> {
  const counted: Record<string, number> = {};
  await eachAtOnce(policies, AT_ONCE, async (policy) => {
    const { raw } = await describeOf(policy);
    const buildId = raw.workflowExecutionInfo?.versioningInfo?.deploymentVersion?.buildId ?? 'none';
    counted[buildId] = (counted[buildId] ?? 0) + 1;
  });
  return counted;
}

async function events(policy: PolicyId) {
  const { events: found } = await stage.client.temporal.workflow
    .getHandle(workflowIdOf(MCHID, policy.out_insurance_no))
    .fetchHistory();
  return found ?? [];
}

describe('a change of the workflow code', () => {
  it(`goes out over ${POLICIES} policies that live, by 10 % and then all, is taken back, and goes out again: none is stuck, no task fails`, async (t) => {
    const wechatpay = new WechatPay(stage.sandboxUrl);
    policies.push(...Array.from({ length: POLICIES }, () => ({ mchid: MCHID, out_insurance_no: uniqueNumber('E') })));
    await all(policies, async ({ out_insurance_no }) => {
      const record = recordOf({ out_insurance_no });
      await wechatpay.put(out_insurance_no, record.policy);
      await stage.client.openPolicy(record);
    });
    await changeAll('road 0');
    assert.deepEqual(await versions(), { [today]: POLICIES });

    await makeCurrent(follows.buildId);
    await changeAll('road 1');
    assert.deepEqual(await versions(), { [follows.buildId]: POLICIES });

    await ramp(makes.buildId, 10);
    await all(policies, (policy) => stage.client.approve(policy, { policy_code: 'C1' }));
    await changeAll('road 2');
    const { [makes.buildId]: early = 0 } = await versions();
    assert.ok(early > 0 && early < POLICIES / 2, `${early} of ${POLICIES}`);

    await ramp(makes.buildId, 100);
    await changeAll('road 3');
    assert.deepEqual(await versions(), { [makes.buildId]: POLICIES });
    await all(policies.slice(0, POLICIES / 2), surrender);

    await ramp('', 0);
    await changeAll('road 4');
    assert.deepEqual(await versions(), { [follows.buildId]: POLICIES });

    await makeCurrent(makes.buildId);
    await changeAll('road 5');
    assert.deepEqual(await versions(), { [makes.buildId]: POLICIES });

    let changed = 0;
    await all(policies, async (policy) => {
      const [{ status }, happened] = [await describeOf(policy), await events(policy)];
      assert.equal(status.name, 'RUNNING');
      assert.deepEqual(
        happened.filter((event) => event.workflowTaskFailedEventAttributes),
        [],
      );
      if (happened.some((event) => event.workflowPropertiesModifiedEventAttributes)) changed++;
    });
    assert.ok(changed >= POLICIES / 2, `${changed}`);
    t.diagnostic(`${early} of ${POLICIES} at 10 %; ${changed} histories have the change; no task failed`);
  });

  it('that is taken back to a release which knows nothing of it makes tasks fail, loses nothing, and goes on once that is undone', async () => {
    const [policy] = policies.slice(-1);
    assert.ok(policy);
    await makeCurrent(today);
    const late = stage.client.amend(policy, { address: 'road 6' });
    const failures = async () =>
      (await events(policy)).flatMap((event) => event.workflowTaskFailedEventAttributes ?? []);
    await until(async () => (await failures()).length > 0, 60_000);
    assert.match(JSON.stringify(await failures()), /nondeterminism/i);
    await makeCurrent(makes.buildId);
    const { revision } = await late;
    await waitSynced(stage.client, policy, revision, { timeout: 120_000 });
    assert.equal((await describeOf(policy)).status.name, 'RUNNING');
  });
});
