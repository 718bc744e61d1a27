import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { WorkflowHandle } from '@temporalio/client';
import type { RecordInput } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { SEARCH_ATTRIBUTES } from '../workflows/messages.ts';
import { until } from './client_namespace.ts';
import { DAY } from './fixtures.ts';
import { lastingEventNames } from './history_events.ts';
import { CODE, done, failureOf, policyOf, sent, started, temporal } from './temporal_cli_fixture.ts';
import { startWorld, type World } from './world.ts';

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
