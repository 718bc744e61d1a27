import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { isPersonal } from '../policy/fields.ts';
import { until } from './client_namespace.ts';
import { endpointsFolder, type Receiver, secretOf, startReceiver, startRelay } from './events_fixture.ts';
import { DAY, SEED } from './fixtures.ts';
import { livesIn } from './lives_fixture.ts';
import { startWorld, type World } from './world.ts';

// On the time-skipping server: years of calendar, every call, record and delivery made for real.
describe('what a system of the merchant is told of a life', { timeout: 120_000 }, () => {
  let world: World;
  let core: Receiver;
  const ends: (() => Promise<unknown>)[] = [];
  before(async () => {
    world = await startWorld({ timeSkipping: true, events: true });
    ends.push(() => world.close());
    await world.startWorkers();
    const secret = secretOf('core');
    core = await startReceiver(secret);
    ends.push(() => core.close());
    const folder = await endpointsFolder();
    ends.push(() => folder.remove());
    await folder.write([{ name: 'core', url: core.url, secrets: [secret] }]);
    const relay = await startRelay(world.storage, folder.file);
    ends.push(() => relay.stop());
  });
  after(async () => {
    for (const end of ends.reverse()) await end();
  });
  const { opened, approved, skip, synced } = livesIn(
    () => world,
    () => {},
  );
  const types = (number: string): string[] => core.types(number).map((type) => type.replace('policy.', ''));
  const last = (number: string) =>
    core.received.filter(({ event }) => event.data.out_insurance_no === number).at(-1)?.event.data;

  it('is that it was confirmed, healed, offered for renewal, surrendered and ended, in this order, each once', async () => {
    const { policy, number, expires } = await approved();
    await world.client.amend(policy, { address: '北京' });
    await synced(number, ({ revision }) => revision === 3);
    await world.patch(number, { address: '上海' });
    await world.client.verify(policy);
    await synced(number);
    await skip(expires - 60 * DAY + 1000);
    await synced(number, ({ window }) => window === 'open');
    await world.client.cancelBySignal(policy);
    await synced(number, ({ state, window }) => state === 'INACTIVE' && window === 'closed');
    await skip(expires + 31 * DAY);
    await until(async () => types(number).at(-1) === 'ended', 60_000);
    assert.deepEqual(types(number), [
      'confirmed', // as opened
      'confirmed', // approved
      'confirmed', // amended
      'healed',
      'confirmed',
      'window_opened',
      'confirmed', // surrendered
      'ended',
    ]);
    const told = core.received.filter(({ event }) => event.data.out_insurance_no === number);
    assert.equal(told.length, 8, 'no event came twice');
    assert.deepEqual(
      told.map(({ event }) => event.data.synced_revision),
      [1, 2, 3, 3, 4, 4, 5, 5],
    );
    assert.deepEqual(told[3]?.event.data.fields, ['address']);
    assert.deepEqual(
      told.map(({ event }) => event.data.state),
      ['ISSUING', ...Array(5).fill('APPROVED'), ...Array(2).fill('INACTIVE')],
    );
    assert.equal(last(number)?.end, 'INACTIVE');
    assert.equal(core.forged, 0);
    await world.replay(number);
  });

  it('is that it was refused and in which words of codes, and confirmed once that is mended', async () => {
    const { policy, number } = await opened();
    await world.faults({
      match: { out_insurance_no: number, method: 'PATCH' },
      times: 1,
      do: { status: 400, code: 'PARAM_ERROR' },
    });
    await world.client.approve(policy, { policy_code: 'C1' });
    await world.until(number, ({ sync }) => sync === 'BLOCKED');
    await until(async () => types(number).at(-1) === 'blocked');
    assert.equal(last(number)?.code, 'PARAM_ERROR');
    assert.match(String(last(number)?.request_id), /./);
    await world.client.resume(policy);
    await synced(number);
    await until(async () => types(number).length >= 3);
    assert.deepEqual(types(number), ['confirmed', 'blocked', 'confirmed']);
  });

  it('holds nothing personal: no value of a policy, but for its number and the names of fields', () => {
    assert.ok(core.received.length > 8);
    const values = Object.entries(SEED).filter(([field]) => isPersonal(field) && field !== 'out_insurance_no');
    assert.ok(values.length > 3);
    for (const { body } of core.received) {
      for (const [field, value] of values)
        for (const text of [value].flat()) assert.ok(!body.includes(String(text)), `${field} in ${body}`);
      assert.doesNotMatch(body, /北京|上海/);
    }
  });
});
