import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { type WorkflowHandle, WorkflowNotFoundError } from '@temporalio/client';
import { connectPolicyClient } from '../client/connect.ts';
import { PolicyRefused } from '../client/errors.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import { waitSynced } from '../client/wait.ts';
import { parseKeys } from '../codec/keys.ts';
import { WechatPay } from '../command/story/wechatpay.ts';
import { superviseWorker } from '../command/story/worker_process.ts';
import type { RecordInput } from '../policy/record.ts';
import { APPROVED } from '../policy/state.ts';
import { workflowIdOf } from '../policy/workflow_id.ts';
import { connect, type Storage } from '../storage/connection.ts';
import { WORKFLOW_QUEUE } from '../workflows/messages.ts';
import { makeNamespace, type Namespace, until } from './client_namespace.ts';
import { type Stage, setStage } from './client_stage.ts';
import { CommandLine } from './command_process.ts';
import { MCHID, recordOf, uniqueNumber } from './fixtures.ts';

/** The same MongoDB, merchants and keys as the stage's, in another namespace: whoever set TEMPORAL_NAMESPACE wrongly. */
interface Elsewhere {
  namespace: Namespace;
  env: NodeJS.ProcessEnv;
  client: PolicyClient;
}

let stage: Stage;
let other: Elsewhere;
let storage: Storage;
const line = new CommandLine();
const ends: (() => Promise<unknown>)[] = [];

before(async () => {
  stage = await setStage();
  ends.push(() => stage.stop());
  storage = await connect(String(stage.env.MONGODB_URI), { keyring: parseKeys(stage.env.POLICY_SYNC_KEYS) });
  ends.push(() => storage.close());
  const namespace = await makeNamespace();
  ends.push(() => namespace.stop());
  const env = { ...stage.env, ...namespace.env };
  const worker = await superviseWorker({ env, logFile: join(stage.directory, 'other.log'), log: () => {} });
  ends.push(() => worker.stop());
  const client = await connectPolicyClient({ env, timeout: 60_000 });
  ends.push(() => client.close());
  await Promise.race([worker.broken, until(() => client.isServed(MCHID), 120_000)]);
  other = { namespace, env, client };
});
after(async () => {
  line.end();
  for (const end of ends.splice(0).reverse()) await end();
});

async function synced(): Promise<RecordInput & { number: string; _id: string }> {
  const number = uniqueNumber('N');
  const record = recordOf({ out_insurance_no: number, policy_state: APPROVED });
  await new WechatPay(stage.sandboxUrl).put(number, record.policy);
  const { revision } = await stage.client.openPolicy(record);
  await waitSynced(stage.client, of(number), revision);
  return { ...record, number, _id: `${MCHID}/${number}` };
}

const of = (out_insurance_no: string) => ({ mchid: MCHID, out_insurance_no });
const handleOf = (client: PolicyClient, number: string) =>
  client.temporal.workflow.getHandle(workflowIdOf(MCHID, number));
/** Terminated, unless it has ended by then. */
const left = (handle: WorkflowHandle): Promise<unknown> =>
  handle.terminate('left').catch((error) => assert.ok(error instanceof WorkflowNotFoundError, error));
const namespaceOf = async (_id: string) => (await storage.policies.findOne({ _id }))?.namespace;

describe('a MongoDB whose records another namespace keeps', { timeout: 300_000 }, () => {
  const isNamed = (message: string): boolean =>
    message.includes(stage.temporal.namespace) && !message.includes('\n') && message.includes('TEMPORAL_NAMESPACE');

  it('is audited by that namespace alone: one line names both, and no second engine is started', async () => {
    const { number, _id } = await synced();
    assert.equal(await namespaceOf(_id), stage.temporal.namespace);
    for (const words of [['audit'], ['audit', '--fix']]) {
      const { code, stdout, stderr } = await line.run(words, other.env);
      assert.equal(code, 1, stdout);
      assert.match(stderr, /^policy-sync: the records in MongoDB are kept by the Temporal namespace [^\n]+\n$/);
      for (const name of [stage.temporal.namespace, other.namespace.namespace])
        assert.ok(stderr.includes(name), stderr);
    }
    const scheduled = other.client.temporal.workflow.execute('policyAudit', {
      args: [{ fix: true }],
      taskQueue: WORKFLOW_QUEUE,
      workflowId: 'policy-sync-audit',
    });
    await assert.rejects(scheduled, ({ cause }: Error) => {
      const { type, message } = (cause as Error).cause as Error & { type: string };
      assert.equal(type, 'OtherNamespace');
      return isNamed(message);
    });
    await assert.rejects(handleOf(other.client, number).describe(), { name: 'WorkflowNotFoundError' });
    assert.equal((await line.run(['audit', '--fix'], stage.env)).code, 0);
  });

  it('is opened from and resumed from by that namespace alone, and the refusal names it', async () => {
    const { number, _id, mchid, policy } = await synced();
    const isRefused = (error: Error): boolean =>
      error instanceof PolicyRefused && error.rule === 'exists' && isNamed(error.message);
    await assert.rejects(other.client.openPolicy({ mchid, policy }), isRefused);
    await handleOf(stage.client, number).cancel();
    await assert.rejects(handleOf(stage.client, number).result());
    await assert.rejects(other.client.resume(of(number)), isRefused);
    assert.equal(await namespaceOf(_id), stage.temporal.namespace);
    await stage.client.resume(of(number));
    assert.equal((await handleOf(stage.client, number).describe()).status.name, 'RUNNING');
  });

  it('is taken over by --adopt-namespace, ended policies too, and then refused to the one it was left by', async () => {
    const [lost, stopped] = [await synced(), await synced()];
    await handleOf(stage.client, stopped.number).cancel();
    await assert.rejects(handleOf(stage.client, stopped.number).result());
    const running = stage.client.temporal.workflow.list({ query: "ExecutionStatus = 'Running'" });
    // Visibility may lag: what it does not list is no policy of this test, and what it lists may have ended.
    for await (const { workflowId } of running) await left(stage.client.temporal.workflow.getHandle(workflowId));
    await left(handleOf(stage.client, lost.number));

    const { code, stdout, stderr } = await line.run(['audit', '--fix', '--adopt-namespace', '--json'], other.env);
    assert.equal(stderr, '');
    const { found, findings } = JSON.parse(stdout);
    assert.equal(code, 4);
    assert.deepEqual(findings, [
      {
        kind: 'stopped',
        ...of(stopped.number),
        reason: findings[0]?.reason,
      },
    ]);
    assert.ok(found['no-workflow'] > 0, stdout);
    await until(async () => (await other.client.status(of(lost.number))).sync === 'SYNCED');
    for (const { _id } of [lost, stopped]) assert.equal(await namespaceOf(_id), other.namespace.namespace);
    await other.client.resume(of(stopped.number));
    const { stderr: refused } = await line.run(['audit', '--fix'], stage.env);
    assert.ok(refused.includes(other.namespace.namespace), refused);
  });

  it('is taken over at once and by a repair only: anything else is wrong usage', async () => {
    for (const words of [
      ['audit', '--adopt-namespace'],
      ['audit', '--fix', '--adopt-namespace', '--every', '6h'],
    ]) {
      const { code, stderr } = await line.run(words, other.env);
      assert.equal(code, 2);
      assert.match(stderr, /^policy-sync: --adopt-namespace [^\n]+\n$/);
    }
  });
});
