import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { APPROVED, DECLINED } from '../policy/state.ts';
import { findPolicy } from '../storage/policies.ts';
import { SEARCH_ATTRIBUTES } from '../workflows/messages.ts';
import { until } from './client_namespace.ts';
import { fault, runEngine } from './engine_fixture.ts';
import { lastingEventNames } from './history_events.ts';
import type { World } from './world.ts';

// On the dev server, in real time: what messages lead to.
const engine = runEngine();
const { handleOf, opened, approved, synced, events, commands } = engine;
let world: World;
before(async () => {
  world = await engine.world();
});

/** Resets a policy's workflow to a task of its own; the server applies its messages again, but for those excluded. */
async function reset(number: string, workflowTaskFinishEventId: unknown, more: object = {}): Promise<void> {
  const handle = handleOf(number);
  await world.temporal.workflowService.resetWorkflowExecution({
    namespace: world.namespace,
    workflowExecution: { workflowId: handle.workflowId, runId: (await handle.describe()).runId },
    workflowTaskFinishEventId,
    requestId: `reset-${number}`,
    reason: 'a test',
    ...more,
  } as never);
}

describe('messages', () => {
  it('a known event_id gets its first answer again, a version not above the last is superseded', async () => {
    const { policy, number } = await approved();
    const first = await world.client.amend(policy, { address: 'B', event_id: 'e1', version: 5 });
    assert.deepEqual(await world.client.amend(policy, { address: 'C', event_id: 'e1' }), first);
    const late = await world.client.amend(policy, { address: 'D', version: 5 });
    assert.equal(late.outcome, 'superseded');
    assert.equal((await world.client.amend(policy, { address: 'B', version: 6 })).outcome, 'unchanged');
    await synced(number);
    assert.equal((await world.held(number))?.address, 'B');
  });

  /** Sends so many messages of which none changes anything; true once a fresh run has taken over. */
  async function handsOver(number: string, send: () => Promise<unknown>, most = 1000): Promise<boolean> {
    const { runId } = await handleOf(number).describe();
    const fresh = async (): Promise<boolean> => (await handleOf(number).describe()).runId !== runId;
    for (let sent = 0; sent < most && !(await fresh()); sent += 5) await Promise.all([1, 2, 3, 4, 5].map(send));
    // Signals are taken at once: a busy worker may not have looked at the last of them yet.
    return until(fresh).then(
      () => true,
      () => false,
    );
  }

  it('without effect let a fresh run come like any other: neither updates nor signals make a policy deaf', async () => {
    const { policy, number, record } = await approved();
    const { address } = record.policy;
    const same = () => world.client.amend(policy, { address });
    assert.ok(await handsOver(number, same), 'after unchanged updates');
    const late = () => world.client.amend(policy, { address: 'late', version: 1 });
    await world.client.amend(policy, { address, version: 2 });
    assert.ok(await handsOver(number, late), 'after superseded updates');
    await world.client.cancel(policy);
    await synced(number);
    assert.ok(await handsOver(number, () => handleOf(number).signal('cancel', {})), 'after unchanged signals');
    const { runId } = await handleOf(number).describe();
    const both = () => Promise.all([late(), handleOf(number).signal('cancel', {})]);
    assert.ok(await handsOver(number, both), 'after updates and signals together');
    await world.replay(number, runId);
    await world.client.amend(policy, { address: 'B' });
    await synced(number);
    assert.equal((await world.held(number))?.address, 'B');
  });

  it('let a fresh run come though a caller of verify waits in vain: it is told to verify again', async () => {
    const { policy, number } = await approved();
    await world.client.cancel(policy);
    await synced(number);
    await world.faults(fault(number, { method: 'GET', do: { status: 503, code: 'SYSTEM_ERROR' } }));
    const asked = assert.rejects(world.client.verify(policy), { name: 'Unavailable', message: /verify again/ });
    await world.until(number, ({ call }) => call === 'query');
    assert.ok(await handsOver(number, () => handleOf(number).signal('cancel', {})), 'after unchanged signals');
    await asked;
    await world.faults();
    await synced(number);
  });

  it('that are refused bring nothing about that a replay lacks, however long the history is by then', async () => {
    const { policy, number, record } = await approved();
    const handle = handleOf(number);
    const { address } = record.policy;
    const { runId } = await handle.describe();
    const length = async (): Promise<number> => (await handle.describe()).historyLength;
    // A task whose only message is refused is the first in which the run is long.
    while ((await length()) < 498) await world.client.amend(policy, { address });
    for (let more = 0; more < 3; more++)
      await assert.rejects(world.client.decline(policy, { reason: 'x' }), { rule: 'illegal-transition' });
    await world.replay(number, runId);
    assert.ok(
      await handsOver(number, () => world.client.amend(policy, { address })),
      'a message that is taken lets it come',
    );
    await world.replay(number, runId);
  });

  it('an illegal update is refused with its rule and leaves no trace in the history', async () => {
    const { policy, number } = await approved();
    const before = await events(number, lastingEventNames);
    await assert.rejects(world.client.decline(policy, { reason: 'x' }), {
      name: 'PolicyRefused',
      rule: 'illegal-transition',
    });
    await assert.rejects(world.client.amend(policy, { address: '' }), { name: 'PolicyRefused', rule: 'cannot-clear' });
    assert.deepEqual(await events(number, lastingEventNames), before);
  });

  it('an illegal signal is ignored and marked for attention', async () => {
    const { number } = await approved();
    await handleOf(number).signal('cancel', { cause: 'NONSENSE' });
    const { attention } = await world.until(number, (status) => status.attention.length > 0);
    assert.deepEqual(attention, ['refused-signal:enum']);
    assert.equal((await world.held(number))?.policy_state, APPROVED);
  });

  it('no message is lost in a stop: one that comes while it lasts is refused, or kept for the resume', async () => {
    const { policy, number } = await approved();
    await handleOf(number).cancel();
    const amended = await world.client.amend(policy, { address: 'while stopping' }).catch((error: Error) => error);
    await world.client.resume(policy);
    await synced(number);
    const taken = !(amended instanceof Error);
    if (!taken) assert.ok(['PolicyRefused', 'PolicyEnded'].includes(amended.name), amended.name);
    assert.equal((await world.held(number))?.address === 'while stopping', taken);
  });

  it('the same record again is the same policy, also after amendments; another record is refused', async () => {
    const { policy, number, record } = await opened();
    await synced(number);
    await world.client.amend(policy, { address: 'B' });
    assert.equal((await world.client.openPolicy(record)).revision, 1);
    const other = { ...record, policy: { ...record.policy, address: 'other' } };
    await assert.rejects(world.client.openPolicy(other), { name: 'PolicyRefused', rule: 'exists' });
  });
});

describe('bursts of signals and updates', () => {
  it('replay as they were acted, whatever of them came in one task', async () => {
    const { policy, number } = await approved();
    for (let burst = 0; burst < 8; burst++) {
      const sent: Promise<unknown>[] = [];
      for (const [index, address] of ['A', 'B', 'C', 'D'].entries()) {
        sent.push(world.client.amend(policy, { address: `${address}${burst}` }));
        if (index % 2 === burst % 2) sent.push(handleOf(number).signal('cancel', { reason: 'again' }));
        if (index === burst % 4) sent.push(world.client.reinstate(policy, { reason: 'paid' }));
        if (index === (burst + 1) % 4) sent.push(world.client.resume(policy));
      }
      await Promise.allSettled(sent);
    }
    await world.until(
      number,
      ({ sync, revision, synced_revision }) => sync !== 'PENDING' || revision === synced_revision,
    );
    await world.replay(number);
  });
});

describe('messages that a reset applies again', () => {
  it('act in the order in which they came, also when another worker replays them', async () => {
    const { policy, number } = await opened();
    await synced(number);
    const handle = handleOf(number);
    const { events: before } = await handle.fetchHistory();
    const finished = before?.findLast(({ workflowTaskCompletedEventAttributes: task }) => task)?.eventId;
    await world.client.approve(policy, { policy_code: 'C1' });
    await world.client.cancelBySignal(policy);
    // More updates than Temporal takes at once: a reset brings them all in one task.
    for (let more = 0; more < 12; more++) {
      await world.client.amend(policy, { address: `A${more}` });
      if (more % 3 === 0) await handle.signal('cancel', {});
    }
    await synced(number);
    await reset(number, finished);
    await world.until(number, ({ attention }) => attention.includes('reset'), 40_000);
    const keptWith = async (address: string) => {
      await world.client.amend(policy, { address });
      const document = async () => (await findPolicy(world.storage, world.mchid, number))?.record.policy;
      await until(async () => (await document())?.address === address);
      return (await document())?.policy_code;
    };
    assert.equal(await keptWith('B'), 'C1');
    await engine.replaceWorkers();
    assert.equal(await keptWith('C'), 'C1', 'what the approval said is not lost behind the surrender');
    await world.replay(number);
  });
});

describe('a policy that is waited for long, each beside the other', { concurrency: true }, () => {
  it('a declined policy ends, and its number stays taken when Temporal has forgotten it', async () => {
    const { policy, number, record } = await opened();
    await synced(number);
    await world.client.decline(policy, { reason: 'x' });
    const handle = handleOf(number);
    await handle.result();
    assert.equal((await world.held(number))?.policy_state, DECLINED);
    const shown = (await handle.describe()).typedSearchAttributes;
    assert.deepEqual([shown.get(SEARCH_ATTRIBUTES.state), shown.get(SEARCH_ATTRIBUTES.sync)], ['DECLINED', 'SYNCED']);
    assert.equal((await world.client.status(policy)).next, null, 'nothing is due any more');
    await world.temporal.workflowService.deleteWorkflowExecution({
      namespace: world.namespace,
      workflowExecution: { workflowId: handle.workflowId },
    });
    while (
      await handle.describe().then(
        () => true,
        () => false,
      )
    )
      await delay(100);
    await assert.rejects(world.client.openPolicy(record), (error: Error) =>
      /ended/i.test(`${error.name} ${error.message}`),
    );
  });

  it('a run that a reset brought back asks WeChat Pay first, though MongoDB knows nothing later', async () => {
    const { policy, number } = await approved();
    const { events: all } = await handleOf(number).fetchHistory();
    const last = all?.findLast(({ workflowTaskCompletedEventAttributes: task }) => task)?.eventId;
    const asked = (await world.requests(number)).length;
    await reset(number, last);
    await world.until(number, ({ attention, sync }) => attention.includes('reset') && sync === 'SYNCED', 60_000);
    await world.client.amend(policy, { address: 'B' });
    await synced(number);
    const sent = (await world.requests(number)).slice(asked).map(({ method, status }) => `${method} ${status}`);
    assert.deepEqual(sent, ['GET 200', 'PATCH 200']);
    await world.client.resume(policy);
    await world.until(number, ({ attention }) => attention.length === 0);
    await world.replay(number);
  });

  it("a run that Temporal's reset brought back takes its numbers above what is on record, and is marked", async () => {
    const { policy, number } = await approved();
    const handle = handleOf(number);
    const { events: before } = await handle.fetchHistory();
    const finished = before?.findLast(({ workflowTaskCompletedEventAttributes: task }) => task)?.eventId;
    await world.client.amend(policy, { address: 'B' });
    await synced(number);
    const undone = await commands(number, (all) => all.length === 2 && all.every((one) => one.confirmed_at !== null));
    await reset(number, finished, { resetReapplyExcludeTypes: [1, 2] });
    const status = await world.until(
      number,
      ({ attention, sync }) => attention.includes('reset') && sync === 'DIVERGED',
      // An attempt of the run before may take 20 s to its end.
      40_000,
    );
    assert.deepEqual(status.diverged, ['address'], 'what the reset undid is reported, and not undone at WeChat Pay');
    assert.ok(status.revision > (undone.at(-1)?.revision ?? 0));
    await world.client.accept(policy);
    await world.client.amend(policy, { pet_name: 'after the reset' });
    await synced(number);
    const document = async () => (await findPolicy(world.storage, world.mchid, number))?.record.policy;
    await until(async () => (await document())?.pet_name === 'after the reset');
    assert.deepEqual([(await document())?.address, (await world.held(number))?.address], ['B', 'B']);
    const told = await commands(number, (all) => all.length === 5);
    assert.deepEqual(
      told.map(({ command }) => command),
      ['open', 'amend', 'reset', 'accept', 'amend'],
    );
    await world.client.resume(policy);
    await world.until(number, ({ attention }) => attention.length === 0);
  });
});
