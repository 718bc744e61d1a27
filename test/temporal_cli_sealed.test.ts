import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import { type Keyring, makeKey, parseKeys } from '../codec/keys.ts';
import { type CodecServer, startCodecServer } from '../codec/server.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import {
  CODE,
  done,
  failureOf,
  payloadsIn,
  policyOf,
  sent,
  started,
  startedBy,
  temporal,
} from './temporal_cli_fixture.ts';
import { startWorld, type World } from './world.ts';

describe("Temporal's own command line, where payload keys are set", { concurrency: 4 }, () => {
  const keys = makeKey('cli');
  const [reader, writer, both] = ['token-of-a-reader', 'token-of-a-writer', 'token-of-an-operator'];
  let world: World;
  let stop: () => Promise<void>;
  let codec: CodecServer;
  before(async () => {
    world = await startWorld({ keys });
    stop = await world.startWorkers();
    const tokens = { decode: [reader, both], encode: [writer, both] };
    const keyring = parseKeys(keys) as Keyring;
    codec = await startCodecServer({ keyring, tokens, uiOrigins: [], log: pino({ level: 'silent' }) });
  });
  after(async () => {
    await codec?.close();
    await stop?.();
    await world?.close();
  });

  const by = (token: string): string[] => [
    ...['--codec-endpoint', `${codec.url}/{namespace}`],
    ...['--codec-auth', `Bearer ${token}`],
  ];

  it('lives a policy with a codec server: starts it, approves it by update, reads it, cancels it by a sealed signal', async () => {
    const { id, number, record, handle } = policyOf(world);
    await world.put({ ...record.policy });
    await startedBy(world, by(both), id, JSON.stringify(record));
    await world.until(number, ({ sync }) => sync === 'SYNCED');
    const { stdout } = await done(sent(world, 'update', id, 'approve', { policy_code: CODE }, by(both)));
    assert.match(stdout, /outcome:accepted revision:2/);
    await world.until(number, ({ state, sync }) => state === 'APPROVED' && sync === 'SYNCED');

    const name = (record.policy.insured_name_list as string[])[0] as string;
    const show = ['workflow', 'show', '--workflow-id', id, '--output', 'json'];
    assert.ok(payloadsIn(await done(temporal(world, ...show, ...by(reader)))).includes(name));
    assert.ok(!payloadsIn(await done(temporal(world, ...show))).includes(name), 'without it all is sealed');
    await world.armed(number);
    const described = await done(temporal(world, 'workflow', 'describe', '--workflow-id', id));
    assert.match(described.stdout, /OK: verified at \S+\+08:00, next at /);

    await done(sent(world, 'signal', id, 'cancel', { cause: 'SURRENDER' }, by(writer)));
    const status = await world.until(number, ({ state, sync }) => state === 'INACTIVE' && sync === 'SYNCED');
    assert.deepEqual(status.attention, []);
    assert.equal((await world.held(number))?.policy_state, INACTIVE);
    assert.ok(!payloadsIn(await done(temporal(world, ...show))).includes('SURRENDER'), 'the signal is sealed');
    assert.equal((await handle.describe()).status.name, 'RUNNING');
  });

  it('sends nothing by a token that may not seal', async () => {
    const { id } = policyOf(world);
    const refused = await sent(world, 'signal', id, 'cancel', { cause: 'SURRENDER' }, by(reader));
    assert.equal(refused.code, 1, refused.stdout);
    assert.match(refused.stderr, /the token is none that may ask for this/);
  });

  it('a start in the clear ends FAILED with plain-payload, and WeChat Pay hears nothing', async () => {
    const { id, number, record, handle } = policyOf(world);
    await started(world, id, JSON.stringify(record));
    assert.deepEqual(await failureOf(handle), { status: 'FAILED', type: 'plain-payload', retryable: false });
    assert.deepEqual(await world.requests(number), []);
  });

  it('a signal with no payload at all is ignored and marked, too, an update refused: nobody needs a key for it', async () => {
    const { id, number, record } = policyOf(world, { policy_state: APPROVED });
    await world.put({ ...record.policy });
    await world.client.openPolicy(record);
    await world.until(number, ({ sync }) => sync === 'SYNCED');
    for (const name of ['cancel', 'resume']) {
      const refused = await sent(world, 'update', id, name);
      assert.equal(refused.code, 1, refused.stdout);
      assert.match(refused.stderr, /\(type: plain-payload, retryable: false\)/);
    }
    await done(sent(world, 'signal', id, 'cancel'));
    const marked = await world.until(number, ({ attention }) => attention.length > 0);
    assert.deepEqual([marked.state, marked.attention], ['APPROVED', ['refused-signal:plain-payload']]);
    assert.equal((await world.held(number))?.policy_state, APPROVED);
  });

  it('a signal in the clear is ignored and marked, an update refused; the same, sealed, are taken', async () => {
    const { id, number, record, handle } = policyOf(world);
    const policy = { mchid: world.mchid, out_insurance_no: number };
    await world.put({ ...record.policy });
    await world.client.openPolicy(record);
    await world.until(number, ({ sync }) => sync === 'SYNCED');

    const refused = await sent(world, 'update', id, 'approve', { policy_code: CODE });
    assert.equal(refused.code, 1, refused.stdout);
    assert.match(refused.stderr, /\(type: plain-payload, retryable: false\)/);
    assert.equal((await handle.describe()).status.name, 'RUNNING');
    await done(sent(world, 'signal', id, 'cancel', { cause: 'SURRENDER' }));
    const marked = await world.until(number, ({ attention }) => attention.length > 0);
    assert.deepEqual([marked.state, marked.attention], ['ISSUING', ['refused-signal:plain-payload']]);
    assert.equal((await world.held(number))?.policy_state, record.policy.policy_state);

    await world.client.approve(policy, { policy_code: CODE });
    await world.until(number, ({ state, sync }) => state === 'APPROVED' && sync === 'SYNCED');
    await world.client.cancelBySignal(policy);
    await world.until(number, ({ state, sync }) => state === 'INACTIVE' && sync === 'SYNCED');
    assert.equal((await world.held(number))?.policy_state, INACTIVE);
  });
});
