import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import type { EventEntry } from '../policy/events.ts';
import { connect, type Storage } from '../storage/connection.ts';
import { until } from './client_namespace.ts';
import { CommandLine } from './command_process.ts';
import {
  assertInOrder,
  endpointsFolder,
  entry,
  happen,
  idOf,
  type Received,
  type Receiver,
  secretOf,
  startReceiver,
  startRelay,
} from './events_fixture.ts';
import { DAY, MCHID, uniqueNumber } from './fixtures.ts';
import { type Database, lineTo, startDatabase } from './storage_fixture.ts';

let database: Database;
let storage: Storage;
before(async () => {
  database = await startDatabase();
  storage = await connect(database.uri, { keyring: undefined });
  await storage.ensureIndexes();
});
after(async () => {
  await storage?.close();
  await database?.stop();
});
/** What the running test began; ended last first. */
const ends: (() => Promise<unknown>)[] = [];
beforeEach(async (context) => {
  for (const collection of [storage.events, storage.deliveries, storage.sweeps]) await collection.deleteMany({});
  (context as { after(end: () => Promise<void>): void }).after(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });
});

const happened = (number: string, events: EventEntry[], mchid?: string) => happen(storage, number, events, mchid);

async function receiver(
  name: string,
  answer?: (received: Received) => number | Promise<number>,
): Promise<Receiver & { name: string }> {
  const made = await startReceiver(secretOf(name), async (received, response) =>
    response.writeHead((await answer?.(received)) ?? 204).end(),
  );
  ends.push(() => made.close());
  return {
    ...made,
    name,
    get forged() {
      return made.forged;
    },
  } as Receiver & { name: string };
}

type Endpoint = { name: string; url: string; secrets?: string[]; merchants?: string[]; events?: string[] };

/** A relay over these, which looks at the file as it is written anew. */
async function relaying(endpoints: Endpoint[], over = storage) {
  const folder = await endpointsFolder();
  ends.push(() => folder.remove());
  const write = (all: Endpoint[]) =>
    folder.write(
      all.map(({ name, url, secrets = [secretOf(name)], merchants, events }) => ({
        name,
        url,
        secrets,
        merchants,
        events,
      })),
    );
  await write(endpoints);
  const relay = await startRelay(over, folder.file);
  ends.push(() => relay.stop());
  return { ...relay, write };
}

/** As if the wait of all that waits were over. */
const waitIsOver = () => storage.deliveries.updateMany({ state: 'waiting' }, { $set: { due_at: new Date(0) } });
const sequences = ({ received }: Receiver, number: string): number[] =>
  received.filter(({ event }) => event.data.out_insurance_no === number).map(({ event }) => event.data.sequence);
const states = async (number: string): Promise<string[]> =>
  (
    await storage.deliveries
      .find({ policy: idOf(number) })
      .sort({ sequence: 1 })
      .toArray()
  ).map(({ state }) => state);

describe('a worker that delivers events', { timeout: 120_000 }, () => {
  it('sends those of a policy in order: the next not before the last is taken; other policies do not wait', async () => {
    const [first, second] = [uniqueNumber(), uniqueNumber()];
    let broken = true;
    const core = await receiver('core', ({ event }) => (broken && event.data.out_insurance_no === first ? 500 : 204));
    const { lines } = await relaying([core]);
    await happened(first, [entry(first, 1), entry(first, 2)]);
    await happened(second, [entry(second, 1), entry(second, 2)]);
    await until(async () => sequences(core, second).length === 2 && sequences(core, first).length > 0);
    await happened(first, [entry(first, 3)]);
    await until(async () => (await states(first)).length === 3);
    await until(
      async () => (await storage.deliveries.countDocuments({ policy: idOf(first), due_at: { $gt: new Date() } })) === 3,
    );
    assert.deepEqual(sequences(core, first), [1]);
    broken = false;
    await waitIsOver();
    await until(async () => (await states(first)).every((state) => state === 'delivered'));
    assert.deepEqual(sequences(core, first), [1, 1, 2, 3]);
    assert.deepEqual(sequences(core, second), [1, 2]);
    const [line] = lines.filter(({ message }) => /did not take/.test(message));
    assert.deepEqual([line?.level, line?.fields.reason, line?.fields.endpoint], ['warn', 'status 500', 'core']);
  });

  it('tells each endpoint what it is to be told; one that hangs or is down holds up no other', async () => {
    const [number, other] = [uniqueNumber(), uniqueNumber()];
    const all = await receiver('all');
    const some = await receiver('some');
    const closed = await receiver('down');
    await closed.close();
    const hanging = await receiver('hanging', () => new Promise(() => {}));
    const { metrics } = await relaying([
      hanging,
      { name: 'down', url: closed.url },
      { ...some, merchants: ['1900000002'], events: ['policy.blocked'] },
      all,
    ]);
    await happened(number, [entry(number, 1), entry(number, 2, { type: 'policy.blocked' })]);
    await happened(other, [entry(other, 1), entry(other, 2, { type: 'policy.blocked' })], '1900000002');
    await until(async () => all.received.length === 4 && some.received.length === 1 && hanging.received.length === 2);
    assert.deepEqual(some.types(other), ['policy.blocked']);
    assert.equal(hanging.received.length, 2, 'one of each policy');
    const down = { endpoint: 'down', state: 'waiting' as const };
    await until(async () => (await storage.deliveries.countDocuments({ ...down, reason: 'ECONNREFUSED' })) === 2);
    assert.equal(await storage.deliveries.countDocuments(down), 4);
    await until(async () =>
      /policy_sync_event_deliveries_total\{endpoint="all",type="policy.blocked",outcome="delivered"\} 2/.test(
        await metrics.registry.metrics(),
      ),
    );
  });

  it('reads its endpoints again while it runs: a secret is exchanged, an endpoint added; a file that is broken changes nothing', async () => {
    const number = uniqueNumber();
    const [one, two] = [secretOf('one'), secretOf('two')];
    const old = await receiver('one');
    const relay = await relaying([{ name: 'core', url: old.url, secrets: [one] }]);
    await happened(number, [entry(number, 1)]);
    await until(async () => old.received.length === 1);
    await relay.write([{ name: 'core', url: 'http://core.example.com', secrets: [one] }]);
    await until(async () => relay.lines.some(({ message }) => /cannot be used; what was goes on/.test(message)));
    const added = await receiver('added');
    await relay.write([{ name: 'core', url: old.url, secrets: [two, one] }, added]);
    await until(async () => relay.endpoints.all().length === 2);
    await happened(number, [entry(number, 2)]);
    await until(async () => old.received.length === 2 && added.received.length === 1);
    assert.deepEqual([old.forged, sequences(added, number)], [0, [2]]);
    assert.equal(String(old.received[1]?.headers['webhook-signature']).split(' ').length, 2);
  });

  it('gives an event up after three days, and sends the next; what is given up is listed, and sent again by command', async () => {
    const number = uniqueNumber();
    let broken = true;
    const core = await receiver('core', ({ event }) => (broken && event.data.sequence === 1 ? 503 : 204));
    const { lines } = await relaying([core]);
    await happened(number, [entry(number, 1), entry(number, 2)]);
    await until(async () => sequences(core, number).length === 1);
    await storage.deliveries.updateMany({}, { $set: { since: new Date(Date.now() - 3 * DAY), due_at: new Date(0) } });
    await until(async () => (await states(number)).join() === 'failed,delivered');
    assert.deepEqual(sequences(core, number), [1, 1, 2]);
    assert.ok(
      lines.some(
        ({ level, message }) => level === 'error' && /given up: `policy-sync events --send-again`/.test(message),
      ),
    );

    const line = new CommandLine();
    ends.push(async () => line.end());
    const env = { ...process.env, MONGODB_URI: database.uri, POLICY_SYNC_KEYS: undefined };
    const run = async (...words: string[]) => {
      const ran = await line.run(['events', ...words], env);
      assert.equal(ran.code, 0, ran.stderr);
      return ran.stdout;
    };
    const listed = JSON.parse(await run('--json'));
    const { state, reason, attempts, out_insurance_no, sequence } = listed;
    assert.deepEqual([state, reason, attempts, out_insurance_no, sequence], ['failed', 'status 503', 2, number, 1]);
    assert.match(await run(), new RegExp(`core +${MCHID} +${number} +policy.confirmed +\\S+ +failed +2 +status 503`));
    assert.equal((await run('--state', 'all', '--json', `${MCHID}/${number}`)).trim().split('\n').length, 2);
    broken = false;
    assert.deepEqual(JSON.parse(await run('--send-again', '--endpoint', 'other', '--json')), { sent_again: 0 });
    assert.deepEqual(JSON.parse(await run('--send-again', '--json')), { sent_again: 1 });
    await until(async () => (await states(number)).join() === 'delivered,delivered');
    assert.deepEqual(sequences(core, number), [1, 1, 2, 1]);
    const unset = await line.run(['events'], { ...env, MONGODB_URI: undefined });
    assert.deepEqual([unset.code, /MONGODB_URI/.test(unset.stderr)], [2, true]);
  });

  it('asks an endpoint that is gone (410) no more, until its file is another', async () => {
    const [first, second] = [uniqueNumber(), uniqueNumber()];
    let gone = true;
    const core = await receiver('core', () => (gone ? 410 : 204));
    const relay = await relaying([core]);
    await happened(first, [entry(first, 1), entry(first, 2)]);
    await until(async () => (await states(first)).join() === 'failed,failed');
    assert.equal(core.received.length, 1);
    gone = false;
    await relay.write([core, { name: 'down', url: 'http://127.0.0.1:1/' }]);
    await until(async () => relay.endpoints.all().length === 2);
    await happened(second, [entry(second, 1)]);
    await until(async () => sequences(core, second).length === 1);
  });

  it('is one of several: another goes on when it ends, and when nothing was heard of it for 30 s', async () => {
    const number = uniqueNumber();
    const core = await receiver('core');
    await storage.sweeps.insertOne({ _id: 'relay', begun_at: new Date(Date.now() - 31_000), held_by: 'killed' });
    const first = await relaying([core]);
    const delivers = ({ lines }: typeof first) =>
      lines.some(({ message }) => message === 'this worker delivers events');
    await until(async () => delivers(first));
    const second = await relaying([core]);
    await happened(number, [entry(number, 1)]);
    await until(async () => core.received.length === 1);
    assert.equal(delivers(second), false);
    await first.stop();
    await until(async () => delivers(second));
    await happened(number, [entry(number, 2)]);
    await until(async () => core.received.length === 2);
    assertInOrder(core.received);
  });

  it('goes on where it was once MongoDB, which had gone, is there again', async () => {
    const number = uniqueNumber();
    const line = await lineTo(database.address);
    const over = await connect(database.uri.replace(/\/\/[^/]+/, `//127.0.0.1:${line.port}`), { keyring: undefined });
    ends.push(async () => {
      await over.close();
      await line.cut();
    });
    const core = await receiver('core');
    await relaying([core], over);
    await happened(number, [entry(number, 1)]);
    await until(async () => (await states(number)).join() === 'delivered');
    await line.cut();
    await happened(number, [entry(number, 2), entry(number, 3)]);
    await line.mend();
    await until(async () => (await states(number)).join() === 'delivered,delivered,delivered');
    assertInOrder(core.received);
  });
});
