import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { NotBegun, Unavailable } from '../client/errors.ts';
import type { PolicyId } from '../client/start_operation.ts';
import type { Status } from '../workflows/messages.ts';
import {
  assertInOrder,
  endpointsFolder,
  type Received,
  type Receiver,
  secretOf,
  startReceiver,
} from './events_fixture.ts';
import { eventually } from './faults_fixture.ts';
import type { WorkerProcess } from './faults_servers.ts';
import { type FaultStage, type Policy, setFaultStage } from './faults_stage.ts';

const POLICIES = 16;
const PATIENCE = 240_000;

/** Everything is killed at random while policies live; whatever they went through is told, once and in order. */
describe('events, while workers and MongoDB are killed again and again', { timeout: 900_000 }, () => {
  let stage: FaultStage;
  let policies: Policy[];
  const receivers: Receiver[] = [];
  const received = (): Received[] => receivers.flatMap((one) => one.received);
  const ends: (() => Promise<unknown>)[] = [];
  let kills = 0;

  /** An endpoint that does not take every tenth event, on the port of the one before. */
  async function listen(): Promise<void> {
    const port = Number(new URL(receivers[0]?.url ?? 'http://h:0').port);
    const answer: Parameters<typeof startReceiver>[1] = (_, response) =>
      response.writeHead(Math.random() < 0.1 ? 500 : 204).end();
    const receiver = await startReceiver(secretOf('core'), answer, port);
    receivers.push(receiver);
    ends.push(() => receiver.close());
  }

  before(async () => {
    stage = await setFaultStage({ own: ['mongo'] });
    ends.push(() => stage.stop());
    await listen();
    const folder = await endpointsFolder();
    ends.push(() => folder.remove());
    await folder.write([{ name: 'core', url: receivers[0]?.url ?? '', secrets: [secretOf('core')] }]);
    stage.env.POLICY_SYNC_WEBHOOKS = folder.file;
    policies = await Promise.all(Array.from({ length: POLICIES }, () => stage.record()));
  });
  after(async () => {
    for (const end of ends.reverse()) await end();
  });

  /** Kills one of two workers after a random time, again and again, and starts another. */
  async function killing(over: AbortSignal): Promise<void> {
    const workers: WorkerProcess[] = [await stage.startWorker(), await stage.startWorker()];
    while (!over.aborted) {
      await delay(1_000 + Math.random() * 6_000);
      const which = Math.random() < 0.5 ? 0 : 1;
      await workers[which]?.kill();
      kills++;
      workers[which] = await stage.startWorker();
    }
  }

  /** Who is not answered asks again: each message is known by its id. */
  async function insist<T>(ask: () => Promise<T>): Promise<T> {
    for (const from = Date.now(); ; await delay(500))
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof Unavailable || error instanceof NotBegun) || Date.now() - from > PATIENCE) throw error;
      }
  }

  async function step(act: (policy: Policy) => Promise<unknown>, wanted: (status: Status) => boolean): Promise<void> {
    await Promise.all(
      policies.map(async (policy) => {
        await insist(() => act(policy));
        await eventually(() => insist(() => stage.client.status(policy as PolicyId)), wanted, PATIENCE);
      }),
    );
  }
  const synced = (revision: number) => (status: Status) =>
    status.sync === 'SYNCED' && status.revision === revision && status.synced_revision === revision;

  it('are all told, each as it happened, in order for each policy, and none that did not happen', async () => {
    const over = new AbortController();
    const killer = killing(over.signal);
    const { client } = stage;
    await step(({ record }) => client.openPolicy(record), synced(1));
    await step((policy) => client.approve(policy, { policy_code: 'C1', event_id: 'a' }), synced(2));
    // The endpoint is away while the next is confirmed.
    await receivers[0]?.close();
    await step((policy) => client.amend(policy, { plan_id: 4711, event_id: 'b' }), synced(3));
    await listen();
    await Promise.all(
      policies.map((policy) =>
        stage.faults(policy, { method: 'PATCH', times: 1_000, do: { status: 400, code: 'PARAM_ERROR' } }),
      ),
    );
    // MongoDB is away while all are blocked, and again in step.
    await stage.mongo?.kill();
    await step(
      (policy) => client.amend(policy, { plan_id: 4712, event_id: 'c' }),
      ({ sync }) => sync === 'BLOCKED',
    );
    await stage.mend();
    await step((policy) => client.resume(policy, { event_id: 'd' }), synced(4));
    await stage.mongo?.start();
    await step((policy) => client.cancel(policy, { event_id: 'e' }), synced(5));
    over.abort();
    await killer;

    const told = (number: string): string[] => {
      const own = new Map(received().map(({ id, event }) => [id, event]));
      return [...own.values()]
        .filter(({ data }) => data.out_insurance_no === number)
        .map(({ type, data }) => `${type.replace('policy.', '')} ${data.synced_revision}`);
    };
    const expected = ['confirmed 1', 'confirmed 2', 'confirmed 3', 'blocked 3', 'confirmed 4', 'confirmed 5'];
    const lacking = () =>
      policies.filter(({ out_insurance_no }) => told(out_insurance_no).length < expected.length).length;
    await eventually(
      async () => lacking(),
      (count) => count === 0,
      PATIENCE,
    );
    for (const { out_insurance_no } of policies) assert.deepEqual(told(out_insurance_no), expected);
    assertInOrder(received());
    assert.equal(
      receivers.reduce((sum, { forged }) => sum + forged, 0),
      0,
    );
    assert.ok(kills >= 5, `${kills} kills`);
    const ids = new Set(received().map(({ id }) => id));
    console.log(`${kills} kills, ${ids.size} events, ${received().length} requests`);
  });
});
