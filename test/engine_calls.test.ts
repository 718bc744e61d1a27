import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { workflowIdOf } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { findPolicy } from '../storage/policies.ts';
import { until } from './client_namespace.ts';
import { fault, type Opened, runEngine } from './engine_fixture.ts';
import { overlapping } from './faults_fixture.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import { startWorld, type World } from './world.ts';

// On the dev server, in real time: what a message does to a call that waits, and what calls cost.
const engine = runEngine();
const { opened, approved, synced, methods, events } = engine;
let world: World;
before(async () => {
  world = await engine.world();
});

/** Than the ten minutes of a backoff. What a busy machine needs is far less. */
const MUCH_SOONER_MS = 30_000;

describe('a message that comes while a call', () => {
  for (const [name, send, state] of [
    ['approve', (life: Opened) => world.client.approve(life.policy, { policy_code: 'C1' }), APPROVED],
    ['cancel', (life: Opened) => world.client.cancelBySignal(life.policy, {}), INACTIVE],
    ['amend', (life: Opened) => world.client.amend(life.policy, { pet_name: 'newest' }), undefined],
  ] as const) {
    const begin = async (): Promise<Opened> => {
      const life = await opened();
      await synced(life.number);
      return life;
    };
    const ends = async ({ number }: Opened): Promise<void> => {
      await synced(number);
      const held = await world.held(number);
      if (state) assert.equal(held?.policy_state, state);
      else assert.equal(held?.pet_name, 'newest');
      assert.equal(held?.address, 'earlier');
      const log = await world.requests(number);
      assert.deepEqual(overlapping(log), []);
      assert.equal(
        log.some(({ status }) => status === 400),
        false,
        'nothing illegal was sent',
      );
    };
    const arrived = async ({ number }: Opened, since: number): Promise<number> => {
      const last = (await world.requests(number)).filter(({ method }) => method === 'PATCH').at(-1);
      return Date.parse(last?.at ?? '') - since;
    };

    it(`backs off for ten minutes supersedes it at once: ${name}`, async () => {
      const life = await begin();
      await world.faults(
        fault(life.number, { times: 1, do: { status: 429, code: 'FREQUENCY_LIMITED', retry_after: 600 } }),
      );
      await world.client.amend(life.policy, { address: 'earlier' });
      await world.until(life.number, ({ call }) => call === 'push');
      while (!(await methods(life.number)).includes('PATCH')) await delay(20);
      await delay(200);
      const since = Date.now();
      await send(life);
      await ends(life);
      assert.ok((await arrived(life, since)) < MUCH_SOONER_MS);
    });

    it(`runs into a cut connection is sent once it is known what took effect: ${name}`, async () => {
      const life = await begin();
      await world.faults(
        fault(life.number, { method: 'PATCH', times: 1, do: { delay_ms: 700, drop: 'after' } } as never),
      );
      await world.client.amend(life.policy, { address: 'earlier' });
      while (!(await methods(life.number)).includes('PATCH')) await delay(20);
      const since = Date.now() + 700;
      await send(life);
      await ends(life);
      assert.ok((await arrived(life, since)) < MUCH_SOONER_MS);
    });
  }
});

describe('a message that comes while no worker takes calls', () => {
  it('supersedes what is queued: one PATCH with the newest of each field when a worker comes', async (context) => {
    const other = await startWorld();
    context.after(() => other.close());
    await other.startWorkers({ calls: false });
    const number = uniqueNumber('Q');
    const record = recordOf({ out_insurance_no: number }, { mchid: other.mchid, retry_alert_after: '1s' });
    await other.put({ ...record.policy });
    const policy = { mchid: other.mchid, out_insurance_no: number };
    const { warnings } = await other.client.openPolicy(record);
    assert.match(warnings.join(), /no worker serves merchant/);
    await other.client.approve(policy, { policy_code: 'C1' });
    await other.client.amend(policy, { address: 'first' });
    await other.client.amend(policy, { address: 'newest' });
    await other.client.cancel(policy);
    // No call brings it to MongoDB, so the workflow does once the wait has lasted.
    await until(async () => {
      const { sync, revision } = (await findPolicy(other.storage, other.mchid, number)) ?? {};
      return sync === 'RETRYING' && revision === 5;
    });
    await other.startWorkers({ workflows: false });
    await other.until(number, ({ sync }) => sync === 'SYNCED');
    const held = await other.held(number);
    assert.deepEqual([held?.policy_state, held?.address], [INACTIVE, 'newest']);
    const log = await other.requests(number);
    assert.deepEqual(
      log.map(({ method, status }) => [method, status]),
      [
        ['GET', 200],
        ['PATCH', 200],
      ],
    );
  });
});

/** Until the server has an update, which no worker has taken yet. */
async function admitted({ temporal, mchid }: World, number: string, updateId: string): Promise<void> {
  const workflowExecution = { workflowId: workflowIdOf(mchid, number) };
  const { namespace } = temporal.options;
  const updateRef = { workflowExecution, updateId };
  // Fails while the server does not know it.
  await until(async () => !!(await temporal.workflowService.pollWorkflowExecutionUpdate({ namespace, updateRef })));
}

describe('messages that come while no worker takes workflows', { timeout: 120_000 }, () => {
  it('act in that order in its first task, too: a later version does not supersede the surrender before it', async (context) => {
    const other = await startWorld();
    context.after(() => other.close());
    const number = uniqueNumber('Q');
    const record = recordOf({ out_insurance_no: number }, { mchid: other.mchid });
    await other.put({ ...record.policy });
    const policy = { mchid: other.mchid, out_insurance_no: number };
    const opening = other.client.openPolicy(record);
    const handle = other.temporal.workflow.getHandle(workflowIdOf(other.mchid, number));
    await until(() =>
      handle.describe().then(
        () => true,
        () => false,
      ),
    );
    await other.client.cancelBySignal(policy, { version: 1 });
    const amending = other.client.amend(policy, { address: 'B', event_id: 'second', version: 2 });
    await admitted(other, number, 'second');
    await other.startWorkers();
    assert.deepEqual(
      (await Promise.all([opening, amending])).map(({ revision }) => revision),
      [1, 3],
    );
    const { state } = await other.until(number, ({ sync, revision }) => sync === 'SYNCED' && revision === 3);
    assert.equal(state, 'INACTIVE');
    await other.replay(number);
  });

  it('act in the order in which they came: the signal before the updates, each of which acts', async (context) => {
    const other = await startWorld();
    context.after(() => other.close());
    const stopAll = await other.startWorkers();
    const number = uniqueNumber('Q');
    const record = recordOf({ out_insurance_no: number }, { mchid: other.mchid });
    await other.put({ ...record.policy });
    const policy = { mchid: other.mchid, out_insurance_no: number };
    await other.client.openPolicy(record);
    await other.until(number, ({ sync, call }) => sync === 'SYNCED' && call === 'verify');
    await stopAll();
    await other.client.cancelBySignal(policy);
    // The server hands all three to the worker at once. An update that no worker has taken is in its memory only, to be sent
    // again by the client when that is lost: two that wait may change places.
    const updates = [
      other.client.reinstate(policy, { reason: 'paid', event_id: 'first' }),
      other.client.amend(policy, { policy_code: 'C9', event_id: 'second' }),
    ];
    for (const update of ['first', 'second']) await admitted(other, number, update);
    await other.startWorkers();
    const answers = await Promise.all(updates);
    assert.deepEqual(answers.map(({ revision }) => revision).sort(), [3, 4], 'the cancellation was the second change');
    for (const { outcome } of answers) assert.equal(outcome, 'accepted');
    const { state } = await other.until(number, ({ sync, revision }) => sync === 'SYNCED' && revision === 4);
    assert.equal(state, 'APPROVED');
    assert.equal((await other.held(number))?.policy_code, 'C9');
    await other.replay(number);
  });
});

describe('what it costs', { concurrency: true }, () => {
  it('a change costs its update, one call, search attributes, the cancelled verification and its successor', async () => {
    const { policy, number } = await approved();
    await world.armed(number);
    const before = (await events(number)).length;
    await world.client.amend(policy, { address: 'B' });
    await synced(number);
    await world.until(number, ({ call }) => call === 'verify');
    assert.deepEqual((await events(number)).slice(before), [
      'workflowTaskScheduled',
      'workflowTaskStarted',
      'workflowTaskCompleted',
      'workflowExecutionUpdateAccepted',
      'workflowExecutionUpdateCompleted',
      'activityTaskCancelRequested',
      'activityTaskCanceled',
      'workflowTaskScheduled',
      'workflowTaskStarted',
      'workflowTaskCompleted',
      'upsertWorkflowSearchAttributes',
      'activityTaskScheduled',
      'activityTaskStarted',
      'activityTaskCompleted',
      'workflowTaskScheduled',
      'workflowTaskStarted',
      'workflowTaskCompleted',
      'upsertWorkflowSearchAttributes',
      'activityTaskScheduled',
    ]);
  });

  it('an opened policy costs its update, the claim in the first task, one call, search attributes and the verification', async () => {
    const { number } = await opened();
    await synced(number);
    await world.armed(number);
    assert.deepEqual(await events(number), [
      'workflowExecutionStarted',
      'workflowTaskScheduled',
      'workflowTaskStarted',
      'workflowTaskCompleted',
      'workflowExecutionUpdateAccepted',
      'markerRecorded',
      'timerStarted',
      'activityTaskScheduled',
      'workflowExecutionUpdateCompleted',
      'activityTaskStarted',
      'activityTaskCompleted',
      'workflowTaskScheduled',
      'workflowTaskStarted',
      'workflowTaskCompleted',
      'upsertWorkflowSearchAttributes',
      'activityTaskScheduled',
    ]);
  });

  it('ten quiet verifications add no event', async () => {
    const { number } = await approved({ verification: { every: '1s' } });
    await world.until(number, ({ call }) => call === 'verify');
    const before = await events(number);
    const gets = async (): Promise<number> => (await methods(number)).filter((method) => method === 'GET').length;
    const target = (await gets()) + 10;
    while ((await gets()) < target) await delay(250);
    assert.deepEqual(await events(number), before);
  });

  it('a call that the server retries four times adds none', async () => {
    const { policy, number } = await approved();
    await world.faults(fault(number, { times: 4, do: { status: 429, code: 'FREQUENCY_LIMITED', retry_after: 0 } }));
    await world.client.amend(policy, { address: 'B' });
    await synced(number, 90_000);
    assert.equal((await methods(number)).filter((method) => method === 'PATCH').length, 5);
    const scheduled = (await events(number)).filter((name) => name === 'activityTaskScheduled');
    assert.equal(scheduled.length, 4, 'GET, verify, PATCH, verify');
  });
});
