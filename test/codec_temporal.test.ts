import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client, Connection, WithStartWorkflowOperation } from '@temporalio/client';
import { ActivityFailure, ApplicationFailure } from '@temporalio/common';
import proto from '@temporalio/proto';
import { bundleWorkflowCode, DefaultLogger, NativeConnection, Worker, type WorkflowBundle } from '@temporalio/worker';
import { dataConverter } from '../codec/data_converter.ts';
import { type Keyring, makeKey, parseKeys } from '../codec/keys.ts';
import { startTemporal, type Temporal } from '../embedded/temporal.ts';
import { type Activities, add, notes, seen, set } from './codec_temporal_workflow.ts';
import './quiet.ts';

const logger = new DefaultLogger('ERROR');

const NAMES = ['张三丰', '李四光', '王五岳', '赵六郎'] as const;
const [first, signalled, updated, ended] = NAMES;
const [oldEntry, newEntry] = [makeKey('old'), makeKey('new')];
const oldKeys = parseKeys(oldEntry) as Keyring;
const bothKeys = parseKeys(`${newEntry},${oldEntry}`) as Keyring;

const activities: Activities = {
  greet: async (name) => `hello ${name}`,
  fail: async (name) => {
    throw ApplicationFailure.nonRetryable(`no such person: ${name}`, 'NoSuchPerson', { name });
  },
};

let server: Temporal;
let connection: Connection;
let native: NativeConnection;

before(async () => {
  server = await startTemporal({ log: () => {}, ui: false });
  connection = await Connection.connect({ address: server.address });
  native = await NativeConnection.connect({ address: server.address });
});

after(async () => {
  await connection?.close();
  await native?.close();
  await server?.stop();
});

type Keys = { keyring: Keyring | undefined; allowPlain?: boolean };

function clientOf({ keyring, allowPlain = false }: Keys): Client {
  return new Client({
    connection,
    namespace: server.namespace,
    dataConverter: dataConverter(keyring, { allowPlain }),
  });
}

const bundles = new Map<boolean, Promise<WorkflowBundle>>();

function bundleOf(keyring: Keyring | undefined): Promise<WorkflowBundle> {
  const sealed = keyring !== undefined;
  const { payloadConverterPath, failureConverterPath } = dataConverter(keyring, { allowPlain: false });
  const workflowsPath = fileURLToPath(new URL('./codec_temporal_workflow.ts', import.meta.url));
  const bundle =
    bundles.get(sealed) ?? bundleWorkflowCode({ workflowsPath, payloadConverterPath, failureConverterPath, logger });
  bundles.set(sealed, bundle);
  return bundle;
}

async function served<T>({ keyring, allowPlain = false }: Keys, use: (queue: string) => Promise<T>): Promise<T> {
  const taskQueue = `codec-${randomUUID()}`;
  const worker = await Worker.create({
    connection: native,
    namespace: server.namespace,
    taskQueue,
    workflowBundle: await bundleOf(keyring),
    activities,
    dataConverter: dataConverter(keyring, { allowPlain }),
  });
  return worker.runUntil(use(taskQueue));
}

async function historyBytes(client: Client, workflowId: string): Promise<Buffer> {
  const history = await client.workflow.getHandle(workflowId).fetchHistory();
  return Buffer.from(proto.temporal.api.history.v1.History.encode(history).finish());
}

test('with keys nothing personal is in the history: arguments, results, signals, updates, summaries, failures', async () => {
  await served({ keyring: bothKeys }, async (taskQueue) => {
    const client = clientOf({ keyring: bothKeys });
    const workflowId = randomUUID();
    const handle = await client.workflow.start(notes, {
      taskQueue,
      workflowId,
      args: [first],
      staticSummary: `policy of ${first}`,
      memo: { name: first },
    });
    await handle.signal(add, signalled);
    assert.ok((await handle.executeUpdate(set, { args: [updated] })).includes(updated));
    assert.ok((await handle.query(seen)).includes(signalled));
    await handle.signal('end', ended);
    await assert.rejects(handle.result(), ({ cause }: Error) => {
      assert.ok(cause instanceof ActivityFailure && cause.cause instanceof ApplicationFailure);
      assert.equal(cause.cause.message, `no such person: ${ended}`);
      assert.deepEqual(cause.cause.details, [{ name: ended }]);
      return true;
    });
    assert.deepEqual((await handle.describe()).memo, { name: first });

    const bytes = await historyBytes(client, workflowId);
    for (const name of NAMES) assert.equal(bytes.includes(name), false, `${name} is in the history`);
    assert.ok(bytes.includes('NoSuchPerson'), 'the type of a failure stays readable');
  });
});

test('with keys a plain argument, signal or update arrives as Plain and fails no workflow task', async () => {
  await served({ keyring: bothKeys }, async (taskQueue) => {
    const plain = clientOf({ keyring: undefined });
    const workflowId = randomUUID();
    const handle = await plain.workflow.start(notes, { taskQueue, workflowId, args: [first] });
    await handle.signal(add, signalled);
    const ours = clientOf({ keyring: bothKeys }).workflow.getHandle(workflowId);
    await handle.startUpdate(set, { args: [updated], waitForStage: 'ACCEPTED' });
    const noted = (await ours.query(seen)).filter((note) => note !== 'hello ');
    assert.deepEqual(noted, ['PLAIN', 'PLAIN', 'PLAIN']);
    const bytes = await historyBytes(plain, workflowId);
    assert.equal(bytes.includes('WorkflowTaskFailed'), false);
    await ours.terminate();
  });
});

test('an absent argument carries nothing and is never Plain', async () => {
  await served({ keyring: bothKeys }, async (taskQueue) => {
    const plain = clientOf({ keyring: undefined });
    const operation = new WithStartWorkflowOperation(notes, {
      taskQueue,
      workflowId: randomUUID(),
      args: [undefined],
      workflowIdConflictPolicy: 'FAIL',
    });
    await plain.workflow.startUpdateWithStart(set, {
      args: [updated],
      waitForStage: 'ACCEPTED',
      startWorkflowOperation: operation,
    });
    const { workflowId } = await operation.workflowHandle();
    const ours = clientOf({ keyring: bothKeys }).workflow.getHandle(workflowId);
    const noted = (await ours.query(seen)).filter((note) => note !== 'hello undefined');
    assert.deepEqual(noted.sort(), ['PLAIN', 'undefined']);
    await ours.terminate();
  });
});

test('where plain payloads are allowed they arrive as they are', async () => {
  await served({ keyring: bothKeys, allowPlain: true }, async (taskQueue) => {
    const plain = clientOf({ keyring: undefined });
    const handle = await plain.workflow.start(notes, { taskQueue, workflowId: randomUUID(), args: [first] });
    await handle.signal(add, signalled);
    const ours = clientOf({ keyring: bothKeys }).workflow.getHandle(handle.workflowId);
    const noted = await ours.executeUpdate(set, { args: [updated] });
    for (const name of [first, signalled, updated]) assert.ok(noted.includes(name));
    await ours.terminate();
  });
});

test('a rotated key still opens what it sealed, by the worker and by the client', async () => {
  await served({ keyring: bothKeys }, async (taskQueue) => {
    const old = clientOf({ keyring: oldKeys });
    const handle = await old.workflow.start(notes, { taskQueue, workflowId: randomUUID(), args: [first] });
    const ours = clientOf({ keyring: bothKeys }).workflow.getHandle(handle.workflowId);
    assert.ok((await ours.executeUpdate(set, { args: [updated] })).includes(first));
    await assert.rejects(handle.query(seen), /no key "new" .*POLICY_SYNC_KEYS/);
    await ours.terminate();
  });
});

test('without keys payloads and failures are in the clear', async () => {
  await served({ keyring: undefined }, async (taskQueue) => {
    const client = clientOf({ keyring: undefined });
    const handle = await client.workflow.start(notes, { taskQueue, workflowId: randomUUID(), args: [first] });
    await handle.signal('end', ended);
    await assert.rejects(handle.result());
    const bytes = await historyBytes(client, handle.workflowId);
    assert.ok(bytes.includes(first) && bytes.includes(`no such person: ${ended}`));
  });
});
