import assert from 'node:assert/strict';
import { after, before, describe, it, mock } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { Unavailable } from '../client/errors.ts';
import { PolicyClient } from '../client/policy_client.ts';
import { workflowIdOf } from '../policy/record.ts';
import { WORKFLOW_QUEUE, WORKFLOW_TYPE } from '../workflows/messages.ts';
import { makeNamespace, type Namespace } from './client_namespace.ts';
import { policySync } from './command_process.ts';
import { lineTo } from './faults_line.ts';
import { MCHID, uniqueNumber } from './fixtures.ts';
import { type Database, startDatabase } from './storage_fixture.ts';
import './quiet.ts';

let temporal: Namespace;
let mongo: Database;
let native: NativeConnection;
let client: PolicyClient;

before(async () => {
  temporal = await makeNamespace();
  mongo = await startDatabase();
  native = await NativeConnection.connect({ address: temporal.address });
  const { connection, namespace } = temporal;
  client = new PolicyClient(new Client({ connection, namespace }), { timeout: 1_000 });
});
after(async () => {
  await native?.close();
  await mongo?.stop();
  await temporal?.stop();
});

/** With a policy that never gets anything done, and a worker that serves it. */
async function withStubborn(work: (policy: { mchid: string; out_insurance_no: string }) => Promise<void>) {
  const worker = await Worker.create({
    connection: native,
    namespace: temporal.namespace,
    taskQueue: WORKFLOW_QUEUE,
    workflowsPath: fileURLToPath(new URL('./client_stubborn_workflow.ts', import.meta.url)),
  });
  const policy = { mchid: MCHID, out_insurance_no: uniqueNumber() };
  const workflowId = workflowIdOf(policy.mchid, policy.out_insurance_no);
  await worker.runUntil(async () => {
    await client.temporal.workflow.start(WORKFLOW_TYPE, { workflowId, taskQueue: WORKFLOW_QUEUE });
    await work(policy);
    await client.temporal.workflow.getHandle(workflowId).terminate();
  });
}

function late(said: RegExp): (error: unknown) => boolean {
  return (error) => error instanceof Unavailable && said.test(error.message) && !error.message.includes('\n');
}

describe('no longer than it was told to', () => {
  it('a caller waits for a verification, and for a policy to be stopped', async () => {
    await withStubborn(async (policy) => {
      await assert.rejects(client.verify(policy), late(/^no answer within 1 s: WeChat Pay is slow.*wait longer/));
      await assert.rejects(client.resume(policy), late(/still being stopped after 1 s: try again$/));
    });
  });

  it('a client waits to be told who polls, and says for how long it did', async () => {
    const { connection, namespace } = temporal;
    const patient = new PolicyClient(new Client({ connection, namespace }));
    // As the server's own when it is slow; nobody waits here for ten seconds.
    const exceeded = { code: 4, details: 'Deadline exceeded', metadata: {} };
    mock.method(patient.temporal.workflowService, 'describeWorkerDeployment', () =>
      Promise.reject(Object.assign(new Error('4 DEADLINE_EXCEEDED'), exceeded)),
    );
    await assert.rejects(
      patient.standstill(),
      late(/^no answer within 10 s: the Temporal server is slow.*wait longer$/),
    );
    mock.restoreAll();
  });

  it('an audit waits for each answer of Temporal', { timeout: 120_000 }, async (t) => {
    const [host = '', port] = temporal.address.split(':');
    const line = await lineTo({ host, port: Number(port) });
    t.after(() => line.close());
    // It connects; what it asks about this namespace is never answered.
    line.hold('request', temporal.namespace);
    const env = { ...temporal.env, TEMPORAL_ADDRESS: `127.0.0.1:${line.port}`, MONGODB_URI: mongo.uri };
    const { code, stdout, stderr } = await policySync(['audit', '--json', '--timeout', '1s'], env);
    assert.equal(code, 3);
    assert.match(stderr, /^policy-sync: the Temporal server at [^\n]+ does not answer[^\n]+\n$/);
    assert.equal(JSON.parse(stdout).error.name, 'ServerUnreachable');
  });
});
