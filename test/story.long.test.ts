import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { makeKey } from '../codec/keys.ts';
import { makeNamespace, type Namespace } from './client_namespace.ts';
import { type Database, startDatabase } from './storage_fixture.ts';
import { assertAllLived, isRunning, type Story, start, startWith, workersOf } from './story_process.ts';

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'policy-sync-story-'));
});
after(() => rm(scratch, { recursive: true, force: true }));

describe('npm start', () => {
  it('-- --once lives every policy through and ends with 0', async () => {
    const story = start('--once');
    assert.equal(await story.exit, 0, story.lines.join('\n'));
    assertAllLived(story);
    await story.says(/^Temporal UI: http:\/\/127\.0\.0\.1:\d+$/);
    for (const pid of workersOf(story)) assert.ok(!isRunning(pid));
  });

  it('stays until Ctrl-C, and then ends all that it started', async () => {
    const keep = join(scratch, 'interrupted');
    const story = start('--keep', keep);
    await story.says(/^worker: process/);
    story.process.kill('SIGINT');
    assert.equal(await story.exit, 130, story.lines.join('\n'));
    for (const pid of workersOf(story)) assert.ok(!isRunning(pid));
  });
});

describe("npm start in a shell that has production's settings", () => {
  let temporal: Namespace;
  let mongo: Database;
  let settings: NodeJS.ProcessEnv;
  before(async () => {
    temporal = await makeNamespace();
    mongo = await startDatabase();
    settings = {
      TEMPORAL_ADDRESS: temporal.address,
      TEMPORAL_NAMESPACE: temporal.namespace,
      MONGODB_URI: mongo.uri,
      POLICY_SYNC_KEYS: makeKey('production'),
      POLICY_SYNC_ALLOW_PLAIN: 'production',
      POLICY_SYNC_MCHID: '1999999999',
      WECHATPAY_MERCHANTS: join(scratch, 'production.json'),
    };
  });
  after(async () => {
    await mongo?.stop();
    await temporal?.stop();
  });

  const namespaceOf = (story: Story): string => named(story, /^Temporal: in a namespace of this demo's own, (\S+)$/m);
  const databaseOf = (story: Story): string => named(story, /^MongoDB: in a database of this demo's own, (\S+)$/m);
  const named = ({ lines }: Story, pattern: RegExp): string => {
    const [, name = ''] = pattern.exec(lines.join('\n')) ?? [];
    assert.notEqual(name, '', lines.join('\n'));
    return name;
  };

  /** What the server remembers of whoever was in a namespace. */
  const seenIn = async (namespace: string) => {
    const { workflowService } = temporal.connection;
    const taskQueue = { name: 'policy-sync' };
    const [workflows, versions, queue] = await Promise.all([
      workflowService.countWorkflowExecutions({ namespace }),
      workflowService.listWorkerDeployments({ namespace }),
      workflowService.describeTaskQueue({ namespace, taskQueue, taskQueueType: 1 }),
    ]);
    return [Number(workflows.count), versions.workerDeployments?.length ?? 0, queue.pollers?.length ?? 0];
  };

  const isThere = async (namespace: string): Promise<boolean> => {
    const { namespaces } = await temporal.connection.workflowService.listNamespaces({ pageSize: 1000 });
    return namespaces.some(({ namespaceInfo }) => namespaceInfo?.name === namespace);
  };

  const databases = async (): Promise<string[]> =>
    (await mongo.client.db('admin').admin().listDatabases()).databases.map(({ name }) => name);

  it('lives in a namespace and a database of its own on these servers, and leaves neither behind', async () => {
    const story = startWith(settings, '--once');
    assert.equal(await story.exit, 0, story.lines.join('\n'));
    assertAllLived(story);
    assert.deepEqual(await seenIn(temporal.namespace), [0, 0, 0]);
    assert.deepEqual(await mongo.client.db().listCollections().toArray(), []);
    assert.equal(await isThere(namespaceOf(story)), false);
    assert.ok(!(await databases()).includes(databaseOf(story)));
  });

  it('with --keep leaves them, and takes them up again', async () => {
    const keep = join(scratch, 'kept');
    const first = startWith(settings, '--keep', keep);
    await first.says(/^worker: process/);
    first.process.kill('SIGINT');
    assert.equal(await first.exit, 130, first.lines.join('\n'));
    assert.equal(await isThere(namespaceOf(first)), true);
    const again = startWith(settings, '--keep', keep);
    await again.says(/^worker: process/);
    again.process.kill('SIGINT');
    assert.equal(await again.exit, 130, again.lines.join('\n'));
    assert.deepEqual([namespaceOf(again), databaseOf(again)], [namespaceOf(first), databaseOf(first)]);
    await mongo.client.db(databaseOf(first)).dropDatabase();
    await temporal.connection.operatorService.deleteNamespace({ namespace: namespaceOf(first) });
  });
});
