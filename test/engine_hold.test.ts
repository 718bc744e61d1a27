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
const { opened, approved, synced, methods, commands } = engine;
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

describe('a policy that is observed', () => {
  it('is compared and never written, by messages, due times and drifts neither; `diverged` names what differs', async () => {
    const { policy, number } = await opened({ observe: true }, { policy_state: APPROVED });
    await world.until(number, ({ sync, call }) => sync === 'OBSERVED' && call === 'verify');
    await world.client.amend(policy, { address: 'ours' });
    assert.deepEqual((await world.client.status(policy)).diverged, ['address']);
    await world.patch(number, { pet_name: 'theirs' });
    const { differences } = await world.client.verify(policy);
    assert.deepEqual(differences.map(({ field }) => field).sort(), ['address', 'pet_name']);
    await world.client.cancel(policy);
    const { sync, state, diverged, under_way } = await world.client.status(policy);
    assert.deepEqual([sync, state, under_way], ['OBSERVED', 'INACTIVE', false]);
    assert.deepEqual(diverged.sort(), ['address', 'pet_name', 'policy_state']);
    const { revision } = await world.client.amend(policy, { address: 'ours, again' });
    await assert.rejects(waitSynced(world.client, policy, revision), { reason: 'OBSERVED' });
    assert.deepEqual([...new Set(await methods(number))], ['GET']);

    assert.equal((await world.client.observe(policy, { on: false })).outcome, 'accepted');
    await synced(number);
    const held = await world.held(number);
    assert.deepEqual([held?.address, held?.policy_state], ['ours, again', INACTIVE]);
  });

  it('handed over with `adopt: report` is DIVERGED where WeChat Pay holds otherwise, and nothing is sent before a person acts', async () => {
    const { policy, number } = await opened({ observe: true, adopt: 'report' }, { policy_state: APPROVED });
    await world.until(number, ({ sync, call }) => sync === 'OBSERVED' && call === 'verify');
    await world.patch(number, { pet_name: 'theirs' });
    await world.client.observe(policy, { on: false });
    await world.until(number, ({ sync, call }) => sync === 'DIVERGED' && call === 'verify');
    assert.deepEqual([...new Set(await methods(number))], ['GET']);
    await world.client.resume(policy);
    await synced(number);
    assert.notEqual((await world.held(number))?.pet_name, 'theirs');
  });

  it('is not uploaded before it is handed over', async () => {
    const { policy, number } = await opened(
      { observe: true, upload: { appid: 'wx0000000000000000', openid: 'oTest' } },
      { insurance_company_code: 'TEST', free_insurance: false },
      { there: false },
    );
    await world.until(number, ({ sync, call }) => sync === 'OBSERVED' && call === 'verify');
    assert.equal(await world.held(number), undefined);
    await world.client.observe(policy, { on: false });
    await synced(number);
    assert.equal((await world.held(number))?.out_insurance_no, number);
  });

  it('may be put on hold as well: then it is not asked for either', async () => {
    const { policy, number } = await opened({ observe: true });
    await world.until(number, ({ sync, call }) => sync === 'OBSERVED' && call === 'verify');
    await world.client.hold(policy, { reason: REASON });
    await world.until(number, ({ sync, call }) => sync === 'HELD' && call === null);
    await world.client.observe(policy, { on: false });
    await world.client.observe(policy, { on: true });
    await world.client.unhold(policy);
    await world.until(number, ({ sync, call }) => sync === 'OBSERVED' && call === 'verify');
    assert.deepEqual([...new Set(await methods(number))], ['GET']);
  });
});
