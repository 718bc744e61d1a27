import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { PolicyRefused } from '../client/errors.ts';
import { waitSynced } from '../client/wait.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { findPolicy } from '../storage/policies.ts';
import { until } from './client_namespace.ts';
import { fault, runEngine } from './engine_fixture.ts';
import type { World } from './world.ts';

const engine = runEngine();
const { approved, synced, methods, commands } = engine;
let world: World;
before(async () => {
  world = await engine.world();
});

const REASON = 'the core system sends nonsense since noon';

describe('a policy on hold', () => {
  it('takes messages and sends nothing; let go, it asks WeChat Pay first and sends the newest of each', async () => {
    const { policy, number } = await approved();
    await world.client.hold(policy, { reason: REASON });
    await world.until(number, ({ sync }) => sync === 'HELD');
    const before = await methods(number);
    await world.client.amend(policy, { address: 'B' });
    await world.client.amend(policy, { address: 'C' });
    const { revision } = await world.client.cancel(policy);
    await assert.rejects(waitSynced(world.client, policy, revision), { reason: 'HELD' });
    await assert.rejects(world.client.verify(policy), { rule: 'held' });
    await world.client.resume(policy);
    const status = await world.client.status(policy);
    assert.deepEqual([status.sync, status.state, status.under_way], ['HELD', 'INACTIVE', false]);
    assert.ok(status.on_hold_since);
    await until(async () => (await findPolicy(world.storage, world.mchid, number))?.sync === 'HELD');
    assert.deepEqual(await methods(number), before);

    await world.client.unhold(policy);
    await synced(number);
    assert.deepEqual((await methods(number)).slice(before.length), ['GET', 'PATCH']);
    const { policy_state, address } = (await world.held(number)) ?? {};
    assert.deepEqual([policy_state, address], [INACTIVE, 'C']);
    assert.equal((await world.client.status(policy)).on_hold_since, null);
  });

  it('is on hold once, however often it is told, and who held it and why is kept sealed in `commands`', async () => {
    const { policy, number } = await approved();
    assert.equal((await world.client.hold(policy, { reason: REASON, by: 'operations' })).outcome, 'accepted');
    assert.equal((await world.client.hold(policy, { reason: 'again' })).outcome, 'unchanged');
    assert.equal((await world.client.unhold(policy)).outcome, 'accepted');
    assert.equal((await world.client.unhold(policy)).outcome, 'unchanged');
    const told = await commands(number, (all) => all.length === 3);
    assert.deepEqual(
      told.map(({ command, by, reason }) => [command, by, reason]),
      [
        ['open', null, null],
        ['hold', 'operations', REASON],
        ['unhold', null, null],
      ],
    );
    const raw = JSON.stringify(await world.storage.commands.find({ mchid: world.mchid }).toArray());
    assert.ok(!raw.includes(REASON));
  });

  it('gives up a PATCH that backs off, and sends it when it is let go', async () => {
    const { policy, number } = await approved();
    await world.faults(
      fault(number, { method: 'PATCH', do: { status: 429, code: 'FREQUENCY_LIMITED', retry_after: 2 } }),
    );
    await world.client.amend(policy, { address: 'B' });
    const patches = async () => (await methods(number)).filter((method) => method === 'PATCH').length;
    await until(async () => (await patches()) > 0);
    await world.client.hold(policy, { reason: REASON });
    await world.until(number, ({ sync, call }) => sync === 'HELD' && call === null);
    await world.faults();
    const tried = await patches();
    // Longer than the wait that it was in the middle of.
    await assert.rejects(world.until(number, ({ sync }) => sync !== 'HELD', 4_000));
    assert.equal(await patches(), tried);
    await world.client.unhold(policy);
    await synced(number);
    assert.equal((await world.held(number))?.address, 'B');
    assert.equal((await world.held(number))?.policy_state, APPROVED);
  });

  it('refuses a hold that does not say why', async () => {
    const { policy } = await approved();
    await assert.rejects(world.client.hold(policy, {} as never), (error) => error instanceof PolicyRefused);
  });
});
