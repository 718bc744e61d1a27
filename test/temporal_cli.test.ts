import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import type { WorkflowHandle } from '@temporalio/client';
import { pino } from 'pino';
import { type Keyring, makeKey, parseKeys } from '../codec/keys.ts';
import { type CodecServer, startCodecServer } from '../codec/server.ts';
import { findTemporal } from '../embedded/temporal_program.ts';
import { type RecordInput, workflowIdOf } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { SEARCH_ATTRIBUTES, WORKFLOW_QUEUE, WORKFLOW_TYPE } from '../workflows/messages.ts';
import { until } from './client_namespace.ts';
import type { Ran } from './command_process.ts';
import { DAY, recordOf, uniqueNumber } from './fixtures.ts';
import { lastingEventNames } from './history_events.ts';
import { startWorld, type World } from './world.ts';

const CODE = 'C0123456789';
let program: string;
before(async () => {
  program = (await findTemporal(() => {})).file;
});

/** Runs `temporal`, with no settings of this machine's; most subcommands end within a second. */
async function temporal(world: World, ...words: string[]): Promise<Ran> {
  const where = ['--address', world.address, '--namespace', world.namespace];
  const own = ['--disable-config-file', '--disable-config-env', '--color', 'never'];
  const child = spawn(program, [...words, ...where, ...own], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code, stdout, stderr };
}

async function done(running: Promise<Ran>): Promise<Ran> {
  const ran = await running;
  assert.equal(ran.code, 0, ran.stderr || ran.stdout);
  return ran;
}

/** `temporal workflow start` as a person types it, with `input` in words: no search attributes, no second argument. */
function started(world: World, workflowId: string, ...inputs: string[]): Promise<Ran> {
  return startedBy(world, [], workflowId, ...inputs);
}

/** The same with more words, those of a codec server. */
function startedBy(world: World, more: string[], workflowId: string, ...inputs: string[]): Promise<Ran> {
  const what = ['--type', WORKFLOW_TYPE, '--task-queue', WORKFLOW_QUEUE, '--workflow-id', workflowId];
  return done(temporal(world, 'workflow', 'start', ...what, ...more, ...inputs.flatMap((input) => ['--input', input])));
}

/** Sends a message by the command line; the input as JSON, none where it is undefined. */
function sent(
  world: World,
  kind: 'signal' | 'update',
  id: string,
  name: string,
  input?: unknown,
  more: string[] = [],
): Promise<Ran> {
  const words = kind === 'signal' ? ['signal'] : ['update', 'execute'];
  const given = input === undefined ? [] : ['--input', JSON.stringify(input)];
  return temporal(world, 'workflow', ...words, '--workflow-id', id, '--name', name, ...given, ...more);
}

/** The texts of all payloads of a history in JSON. */
function payloadsIn({ stdout }: Ran): string {
  const data = [...stdout.matchAll(/"data": *"([^"]*)"/g)];
  assert.ok(data.length > 0, stdout);
  return data.map(([, base64 = '']) => Buffer.from(base64, 'base64').toString()).join('\n');
}

/** How a run that must have failed did. Its result comes from the server: no waiting for a time of ours. */
async function failureOf(handle: WorkflowHandle): Promise<{ status: string; type: unknown; retryable: unknown }> {
  const error = (await handle.result().catch((reason) => reason)) as { cause?: Record<string, unknown> };
  const status = (await handle.describe()).status.name;
  return { status, type: error.cause?.type, retryable: error.cause?.nonRetryable === false };
}

function policyOf(world: World, changes: Partial<RecordInput['policy']> = {}) {
  const number = uniqueNumber('X');
  const record = recordOf({ out_insurance_no: number, ...changes }, { mchid: world.mchid });
  const id = workflowIdOf(world.mchid, number);
  return { number, record, id, handle: world.temporal.workflow.getHandle(id) };
}

describe("Temporal's own command line, where no payload keys are set", { concurrency: 4 }, () => {
  let world: World;
  let stop: () => Promise<void>;
  before(async () => {
    world = await startWorld({ keys: null });
    stop = await world.startWorkers();
  });
  after(async () => {
    await stop?.();
    await world?.close();
  });

  /** A policy that WeChat Pay has, its workflow started by the command line. */
  async function begun() {
    const policy = policyOf(world);
    await world.put({ ...policy.record.policy });
    await started(world, policy.id, JSON.stringify(policy.record));
    await world.until(policy.number, ({ sync }) => sync === 'SYNCED');
    return policy;
  }

  async function attributesOf(handle: WorkflowHandle) {
    const { typedSearchAttributes } = await handle.describe();
    return Object.fromEntries(
      Object.entries(SEARCH_ATTRIBUTES).map(([name, key]) => [name, typedSearchAttributes.get(key as never)]),
    ) as Record<keyof typeof SEARCH_ATTRIBUTES, unknown>;
  }

  it('starts a policy that sets its own search attributes, and is found by them', async () => {
    const { id, record, handle } = await begun();
    const shown = await attributesOf(handle);
    const expires = new Date(record.policy.expired_time as string);
    assert.deepEqual(shown, {
      state: 'ISSUING',
      sync: 'SYNCED',
      type: 'POLICY_TYPE_OTHER',
      mchid: world.mchid,
      expires,
      opens: new Date(expires.getTime() - 60 * DAY),
    });
    await until(async () => {
      const query = `PolicyState="ISSUING" AND WorkflowId="${id}"`;
      const { stdout } = await done(temporal(world, 'workflow', 'list', '--query', query, '--output', 'json'));
      return JSON.parse(stdout).length === 1;
    });
  });

  it('approves by update, and the answer is ours', async () => {
    const { id, number, handle } = await begun();
    const { stdout } = await done(sent(world, 'update', id, 'approve', { policy_code: CODE }));
    assert.match(stdout, /outcome:accepted revision:2/);
    await world.until(number, ({ state, sync }) => state === 'APPROVED' && sync === 'SYNCED');
    const held = await world.held(number);
    assert.deepEqual([held?.policy_state, held?.policy_code], [APPROVED, CODE]);
    assert.equal((await attributesOf(handle)).state, 'APPROVED');
  });

  for (const [what, input] of [
    ['an empty object', {}],
    ['no input at all', undefined],
    ['a cause', { cause: 'HESITATION', reason: 'asked for by the user', event_id: 'cli-1' }],
  ] as const) {
    it(`cancels by signal with ${what}`, async () => {
      const { id, number, handle } = await begun();
      await done(sent(world, 'signal', id, 'cancel', input));
      const status = await world.until(number, ({ state, sync }) => state === 'INACTIVE' && sync === 'SYNCED');
      assert.deepEqual(status.attention, []);
      assert.equal((await world.held(number))?.policy_state, INACTIVE);
      assert.equal((await attributesOf(handle)).state, 'INACTIVE');
    });
  }

  it('ignores an illegal signal, marks the policy with its rule, and goes on', async () => {
    const { id, number } = await begun();
    for (const input of [{ cause: 'WHIM' }, 'cancel', [1], { at: 'tomorrow' }])
      await done(sent(world, 'signal', id, 'cancel', input));
    const rules = ['refused-signal:enum', 'refused-signal:time', 'refused-signal:type'];
    const status = await world.until(number, ({ attention }) => rules.every((rule) => attention.includes(rule)));
    assert.equal(status.state, 'ISSUING');
    await done(sent(world, 'update', id, 'approve', { policy_code: CODE }));
    await world.until(number, ({ state, sync }) => state === 'APPROVED' && sync === 'SYNCED');
  });

  it('refuses an illegal update with its rule, and leaves no trace in the history', async () => {
    const { id, number, handle } = await begun();
    const before = await lastingEventNames(handle);
    for (const [name, input, rule] of [
      ['approve', {}, 'type'],
      ['approve', { policy_code: CODE, expired_time: '2020-01-01T00:00:00+08:00' }, 'expired-after-effective'],
      ['approve', 'yes', 'type'],
      ['amend', { policy_state: APPROVED }, 'not-amendable'],
      ['amend', { address: '' }, 'cannot-clear'],
    ] as const) {
      const { code, stdout, stderr } = await sent(world, 'update', id, name, input);
      assert.equal(code, 1, stdout);
      assert.match(stderr, new RegExp(`\\(type: ${rule}, retryable: false\\)`));
    }
    assert.deepEqual(await lastingEventNames(handle), before);
    assert.equal((await world.requests(number)).filter(({ method }) => method !== 'GET').length, 0);
  });

  const otherwise = (changes: object) => (record: RecordInput) =>
    JSON.stringify({ ...record, policy: { ...record.policy, ...changes } });
  const illegal: [what: string, rule: string, input: (record: RecordInput) => string[] | string][] = [
    ['a field of the wrong type', 'type', otherwise({ support_renewal: 'yes' })],
    ['a time that is none', 'time', otherwise({ expired_time: '2026-13-01' })],
    [
      'cover that ends before it begins',
      'expired-after-effective',
      otherwise({ expired_time: '2020-01-01T00:00:00Z' }),
    ],
    ['an unknown state', 'enum', otherwise({ policy_state: 'POLICY_STATE_LOST' })],
    ['an emoji', 'wide-character', otherwise({ insurance_name: '保险🙂' })],
    ['a car without its number', 'car-number', otherwise({ policy_type: 'POLICY_TYPE_CAR', car_number: '' })],
    ['an unknown setting', 'unknown-field', (record) => JSON.stringify({ ...record, verify_every: '7d' })],
    ['no policy', 'type', ({ mchid }) => JSON.stringify({ mchid })],
    ['text', 'type', () => '"policy"'],
    ['a list', 'type', (record) => JSON.stringify([record])],
    ['null', 'type', () => 'null'],
    ['no input at all', 'type', () => []],
    ["another policy's record", 'workflow-id', otherwise({ out_insurance_no: 'ANOTHER1' })],
  ];
  for (const [what, rule, input] of illegal) {
    it(`a start with ${what} ends FAILED with ${rule}, and WeChat Pay hears nothing`, async () => {
      const { id, number, record, handle } = policyOf(world);
      await started(world, id, ...[input(record)].flat());
      assert.deepEqual(await failureOf(handle), { status: 'FAILED', type: rule, retryable: false });
      assert.deepEqual(await world.requests(number), []);
    });
  }

  it('says which field is wrong, and no personal value', async () => {
    const { id, record, handle } = policyOf(world);
    await started(world, id, otherwise({ address: '晨晖路🙂1001号', expired_time: 'never' })(record));
    await failureOf(handle);
    const { stdout } = await temporal(world, 'workflow', 'result', '--workflow-id', id);
    assert.match(stdout, /policy\.expired_time: expected an RFC 3339 time/);
    assert.match(stdout, /policy\.address: /);
    assert.doesNotMatch(stdout, /晨晖路/);
  });

  it('a start under a workflow id that is no policy’s ends FAILED with workflow-id', async () => {
    const { number, record } = policyOf(world);
    const id = `my-policy-${number}`;
    await started(world, id, JSON.stringify(record));
    const failed = await failureOf(world.temporal.workflow.getHandle(id));
    assert.deepEqual(failed, { status: 'FAILED', type: 'workflow-id', retryable: false });
  });
});

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
