import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { EventEntry } from '../policy/events.ts';
import { connect, type Storage } from '../storage/connection.ts';
import { policiesDue, settleDelivery } from '../storage/deliveries.ts';
import { assignEvents, deleteOldEvents, writeStopped } from '../storage/events.ts';
import { claim, writePolicy } from '../storage/policies.ts';
import { Endpoints } from '../worker/events/endpoints.ts';
import { measureWaiting } from '../worker/events/waiting.ts';
import { Metrics } from '../worker/metrics.ts';
import { deliveryOf, endpointsFolder, entry, happen, idOf, secretOf } from './events_fixture.ts';
import { DAY, uniqueNumber } from './fixtures.ts';
import { type Database, opened, startDatabase } from './storage_fixture.ts';

let database: Database;
let storage: Storage;
before(async () => {
  database = await startDatabase();
  storage = await connect(database.uri, { keyring: undefined });
  await storage.ensureIndexes();
});
beforeEach(async () => {
  for (const collection of [storage.events, storage.deliveries]) await collection.deleteMany({});
});
after(async () => {
  await storage?.close();
  await database?.stop();
});

const happened = (number: string, events: EventEntry[]) => happen(storage, number, events);
const states = async (number: string): Promise<string[]> =>
  (await storage.deliveries.find({ policy: idOf(number) }).toArray()).map(({ state }) => state);

describe('events in MongoDB', () => {
  it('are there once however often they are written, and not again once they are deleted', async () => {
    const number = uniqueNumber();
    await claim(storage, opened({ out_insurance_no: number }));
    const events = [entry(number, 1), entry(number, 2)];
    await Promise.all([1, 2, 3].map(() => happened(number, events)));
    assert.equal(await storage.events.countDocuments({ policy: idOf(number) }), 2);
    await writePolicy(storage, { ...opened({ out_insurance_no: number }), step: 5, last_event: 2 });
    await storage.events.deleteMany({});
    await happened(number, [...events, entry(number, 3)]);
    const left = await storage.events.find({}).toArray();
    assert.deepEqual(
      left.map(({ sequence }) => sequence),
      [3],
    );
  });

  it('of one policy with a long backlog hide those of no other', async () => {
    const [busy, other] = [uniqueNumber(), uniqueNumber()];
    for (let from = 0; from < 250; from += 50)
      await happened(
        busy,
        Array.from({ length: 50 }, (_, at) => entry(busy, from + at + 1)),
      );
    await happened(other, [entry(other, 1000)]);
    while ((await assignEvents(storage, () => ['a'], new Date())) > 0);
    const later = new Date(Date.now() + DAY);
    assert.deepEqual(await policiesDue(storage, 'a', later), [idOf(busy)]);
    assert.deepEqual(await policiesDue(storage, 'a', later, [idOf(busy)]), [idOf(other)]);
  });

  it('are assigned once to each endpoint that wants them, also by who was killed between delivery and mark', async () => {
    const number = uniqueNumber();
    await happened(number, [entry(number, 1)]);
    const wanted = () => ['a', 'b'];
    await assignEvents(storage, wanted, new Date());
    await storage.deliveries.updateOne({ endpoint: 'a' }, { $set: { state: 'delivered' } });
    await storage.events.updateMany({}, { $set: { assigned: false } });
    assert.equal(await assignEvents(storage, wanted, new Date()), 1);
    assert.equal(await assignEvents(storage, wanted, new Date()), 0);
    assert.deepEqual((await states(number)).sort(), ['delivered', 'waiting']);
  });

  it('tell of a stop that its workflow could not write, once, where others wait for events of the policy', async () => {
    for (const last_event of [7, undefined]) {
      const policy = opened({ ...(last_event && { last_event }) });
      await claim(storage, policy);
      const stopped = { _id: idOf(policy.out_insurance_no, policy.mchid), life: policy.life };
      for (const _ of [1, 2]) await writeStopped(storage, stopped, new Date());
      const told = await storage.events.find({ policy: stopped._id }).toArray();
      assert.deepEqual(
        told.map(({ type, told: { end } }) => [type, end]),
        last_event ? [['policy.ended', 'STOPPED']] : [],
      );
    }
  });

  it('of a policy that is resumed after a stop are not taken for known ones, however far ahead the clock was that recorded it', async () => {
    const [number, last_event] = [uniqueNumber(), Date.now() - 60_000];
    const policy = opened({ out_insurance_no: number, last_event });
    await claim(storage, policy);
    const stopped = { _id: idOf(number, policy.mchid), life: policy.life };
    // Its workflow was terminated between this and its record.
    await happened(number, [entry(number, last_event + 100, { id: `${policy.life}_${last_event + 100}` })]);
    const sequence = await writeStopped(storage, stopped, new Date(Date.now() + DAY));
    await writePolicy(storage, { ...policy, step: policy.step + 1, last_event: sequence });
    await happened(number, [entry(number, Date.now())]);
    const told = await storage.events.find({ policy: stopped._id }).sort({ sequence: 1 }).toArray();
    assert.deepEqual(
      told.map(({ type }) => type),
      [entry(number, 1).type, 'policy.ended', entry(number, 1).type],
    );
  });

  it('go when they are old, with their deliveries; those that nobody has assigned stay', async () => {
    const [old, young] = [uniqueNumber(), uniqueNumber()];
    const ago = (days: number) => new Date(Date.now() - days * DAY);
    await happened(old, [entry(old, 1, { at: ago(40).getTime() })]);
    await assignEvents(storage, () => ['a'], ago(40));
    await happened(old, [entry(old, 2, { at: ago(40).getTime() })]);
    await storage.deliveries.insertOne(deliveryOf({ out_insurance_no: young }));
    let deleted = 0;
    for await (const some of deleteOldEvents(storage, ago(30))) deleted += some;
    assert.equal(deleted, 1);
    assert.deepEqual(
      (await storage.events.find({}).toArray()).map(({ sequence }) => sequence),
      [2],
    );
    assert.deepEqual(
      (await storage.deliveries.find({}).toArray()).map(({ out_insurance_no }) => out_insurance_no),
      [young],
    );
  });

  it('go in small parts, after each of which a worker may shut down', async () => {
    const old = { since: new Date(Date.now() - 40 * DAY) };
    await storage.deliveries.insertMany(Array.from({ length: 450 }, () => deliveryOf(old)));
    for await (const some of deleteOldEvents(storage, new Date())) if (some > 0) break;
    assert.equal(await storage.deliveries.countDocuments({}), 250);
  });

  it('that were taken stay so, whatever a worker that had stood still makes of them', async () => {
    const delivery = deliveryOf({});
    await storage.deliveries.insertOne({ ...delivery });
    const tried = { attempts: 1, tried_at: new Date() };
    await settleDelivery(storage, delivery, { state: 'delivered', ...tried });
    await settleDelivery(storage, delivery, { state: 'failed', ...tried, reason: 'status 410' });
    const found = await storage.deliveries.findOne({ _id: delivery._id });
    assert.deepEqual([found?.state, found?.reason], ['delivered', undefined]);
  });

  it('that wait are measured by the first who asks, and counted once a minute, however often metrics are asked for', async (context) => {
    const folder = await endpointsFolder();
    context.after(() => folder.remove());
    await folder.write([{ name: 'core', url: 'http://127.0.0.1:9/', secrets: [secretOf('core')] }]);
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const endpoints = new Endpoints(folder.file, log);
    await endpoints.load();
    const metrics = new Metrics(() => []);
    measureWaiting({ metrics, storage, endpoints, log });
    const since = new Date(Date.now() - DAY);
    const waits = [1, 2, 3].map(() => deliveryOf({ endpoint: 'core', type: 'policy.blocked', since }));
    await storage.deliveries.insertMany(waits);
    for (const _ of [1, 2]) {
      const text = await metrics.registry.metrics();
      assert.match(text, /^policy_sync_events_waiting{endpoint="core",type="policy.blocked"} 3$/m);
      assert.match(text, /^policy_sync_events_oldest_waiting_seconds{endpoint="core"} 864\d\d/m);
      await storage.deliveries.deleteMany({});
    }
  });
});
