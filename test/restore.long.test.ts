// What docs/operating.md says of an older backup of MongoDB: found, mended, and lost.
import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { type Document, MongoClient } from 'mongodb';
import { waitSynced } from '../client/wait.ts';
import type { WechatPay } from '../command/story/wechatpay.ts';
import type { Storage } from '../storage/connection.ts';
import { auditStage, of } from './audit_fixture.ts';
import { until } from './client_namespace.ts';
import type { Stage } from './client_stage.ts';
import { MCHID, recordOf, uniqueNumber } from './fixtures.ts';

const on = auditStage();
const { handleOf, synced, lastRequest, control, audited, about } = on;
let stage: Stage;
let wechatpay: WechatPay;
let storage: Storage;
before(async () => {
  ({ stage, wechatpay, storage } = await on.ready());
});

type Backup = Map<string, Document[]>;

async function inDatabase<T>(work: (client: MongoClient) => Promise<T>): Promise<T> {
  const client = await MongoClient.connect(String(stage.env.MONGODB_URI));
  return work(client).finally(() => client.close());
}

const backUp = () =>
  inDatabase(async (client) => {
    const backup: Backup = new Map();
    for (const collection of await client.db().collections())
      backup.set(collection.collectionName, await collection.find().toArray());
    return backup;
  });

const restore = (backup: Backup) =>
  inDatabase(async (client) => {
    for (const collection of await client.db().collections()) {
      await collection.deleteMany({});
      const documents = backup.get(collection.collectionName) ?? [];
      if (documents.length > 0) await collection.insertMany(documents);
    }
  });

const kept = (number: string) => storage.policies.findOne({ _id: `${MCHID}/${number}` });
const commandsOf = async (number: string) =>
  (await storage.commands.find({ policy: `${MCHID}/${number}` }).toArray()).map(({ command }) => command).sort();

async function amended(number: string, address: string): Promise<number> {
  const { revision } = await stage.client.amend(of(number), { address });
  await waitSynced(stage.client, of(number), revision);
  await until(async () => (await kept(number))?.synced_revision === revision);
  return revision;
}

it('an older backup of MongoDB: an audit finds what it lacks and mends it, sends nothing of the past, and one verification brings the rest', {
  timeout: 200_000,
}, async () => {
  const [same, changed, ended, gone] = await Promise.all([synced(), synced(), synced(), synced()]);
  const declined = uniqueNumber('A');
  const { policy } = recordOf({ out_insurance_no: declined });
  await wechatpay.put(declined, policy);
  await stage.client.openPolicy({ mchid: MCHID, policy });
  for (const number of [same, changed, ended, gone, declined])
    await until(async () => (await kept(number))?.sync === 'SYNCED' && (await commandsOf(number)).length === 1);
  const backup = await backUp();

  const [revision] = await Promise.all([amended(changed, 'B'), amended(gone, 'B')]);
  await stage.client.cancel(of(ended), { cause: 'SURRENDER' });
  await until(async () => (await wechatpay.policy(ended))?.policy_state === 'POLICY_STATE_INACTIVE');
  await stage.client.decline(of(declined), { reason: 'no' });
  await handleOf(declined).result();
  await handleOf(gone).terminate('lost');
  const later = await synced();
  await until(async () => (await kept(later))?.sync === 'SYNCED');
  const asked = await lastRequest();
  await restore(backup);

  // The workflows are as they were: who asks Temporal is told the truth at once.
  assert.equal((await stage.client.status(of(changed))).revision, revision);
  const found = await audited();
  assert.deepEqual(about(found, later), ['no-record']);
  assert.deepEqual(about(found, gone), ['terminated']);
  assert.deepEqual(about(found, declined), ['no-workflow'], 'its record does not know that it has ended');
  for (const number of [same, changed, ended]) assert.deepEqual(about(found, number), [], 'its workflow goes on');

  const mended = await audited({ fix: true });
  assert.deepEqual([mended.fixed, mended.findings], [{ 'no-record': 1, terminated: 1, 'no-workflow': 1 }, []]);
  await until(async () => (await kept(later))?.sync === 'SYNCED');
  // What its record cannot explain is reported, and not undone.
  await until(async () => (await stage.client.status(of(gone))).sync === 'DIVERGED');
  assert.deepEqual((await stage.client.status(of(gone))).diverged, ['address']);
  await until(async () => (await stage.client.status(of(declined))).sync === 'DIVERGED');
  await stage.client.accept(of(declined));
  await handleOf(declined).result();

  // A record of a policy that goes on is behind until its workflow writes again, as each verification has it do.
  assert.equal((await kept(changed))?.revision, revision - 1);
  for (const number of [changed, ended]) await stage.client.verify(of(number));
  await until(async () => (await kept(changed))?.revision === revision);
  await until(async () => (await kept(ended))?.policy_state === 'POLICY_STATE_INACTIVE');
  assert.deepEqual((await audited()).found, {});

  const since = await control<{ method: string }[]>('GET', `requests?after=${asked}`);
  assert.deepEqual(
    since.filter(({ method }) => method !== 'GET'),
    [],
  );
  assert.deepEqual(await commandsOf(changed), ['open'], 'who asked for what since the backup is lost');
});
