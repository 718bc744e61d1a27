import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { PolicyRefused, Unavailable } from '../client/errors.ts';
import { type PolicyFields, type RecordInput, workflowIdOf } from '../policy/record.ts';
import { APPROVED, DECLINED, INACTIVE } from '../policy/state.ts';
import type { FaultRule } from '../sandbox/faults.ts';
import { listCalls } from '../storage/calls.ts';
import { listCommands, type ReadCommand } from '../storage/commands.ts';
import { listDiscrepancies, type ReadDiscrepancy } from '../storage/discrepancies.ts';
import { findPolicy } from '../storage/policies.ts';
import { cancelSignal, SEARCH_ATTRIBUTES, type Status } from '../workflows/messages.ts';
import { until } from './client_namespace.ts';
import { overlapping } from './faults_fixture.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import { eventNames, lastingEventNames, openedText } from './history_events.ts';
import { HISTORY_KEYS, keptHistories } from './kept_histories.ts';
import { startWorld, type World } from './world.ts';

// On the dev server, in real time: what a call's outcome leads to, and what it costs.
let world: World;
let stop: () => Promise<void>;
before(async () => {
  world = await startWorld({ keys: HISTORY_KEYS });
  stop = await world.startWorkers();
});
const kept = keptHistories(() => world);
beforeEach((context) => kept.named(context));
after(async () => {
  await kept.save();
  await stop?.();
  await world?.close();
});

interface Opened {
  policy: { mchid: string; out_insurance_no: string };
  number: string;
  record: RecordInput;
}

async function opened(settings: Partial<RecordInput> = {}, changes: PolicyFields = {}): Promise<Opened> {
  const number = uniqueNumber('E');
  const record = recordOf({ out_insurance_no: number, ...changes }, { ...settings, mchid: world.mchid });
  await world.put({ ...record.policy });
  await world.client.openPolicy(record);
  kept.keep(number);
  return { policy: { mchid: world.mchid, out_insurance_no: number }, number, record };
}

async function approved(settings: Partial<RecordInput> = {}): Promise<Opened> {
  const life = await opened(settings, { policy_state: APPROVED });
  await synced(life.number);
  return life;
}

const synced = (number: string, patience?: number): Promise<Status> =>
  world.until(
    number,
    ({ sync, revision, synced_revision }) => sync === 'SYNCED' && synced_revision === revision,
    patience,
  );

const fault = (number: string, rule: Omit<FaultRule, 'match'> & { method?: string }): FaultRule => {
  const { method, ...rest } = rule;
  return { match: { out_insurance_no: number, ...(method && { method }) }, ...rest } as FaultRule;
};

async function methods(number: string): Promise<string[]> {
  return (await world.requests(number)).map(({ method }) => method);
}

const handleOf = (number: string) => world.temporal.workflow.getHandle(`policy/${world.mchid}/${number}`);
/** What a policy's history has once no workflow task is under way. */
async function events(number: string, names = eventNames): Promise<string[]> {
  const handle = handleOf(number);
  await until(async () => !(await handle.describe()).raw.pendingWorkflowTask);
  return names(handle);
}

describe('outcomes of a call', () => {
  it('confirmed: the PATCH carries what differs, and its answer syncs the revision', async () => {
    const { policy, number } = await opened();
    await synced(number);
    await world.client.approve(policy, { policy_code: 'C1' });
    const status = await synced(number);
    assert.equal((await world.held(number))?.policy_state, APPROVED);
    assert.deepEqual(await methods(number), ['GET', 'PATCH']);
    assert.equal(status.synced_revision, status.revision);
  });

  it('no effect: 429 is retried when Retry-After says, a call queued or backing off leaves no event', async () => {
    const { policy, number } = await approved();
    await world.faults(fault(number, { times: 2, do: { status: 429, code: 'FREQUENCY_LIMITED', retry_after: 1 } }));
    await world.client.amend(policy, { address: 'B' });
    await synced(number);
    const log = (await world.requests(number)).filter(({ method }) => method === 'PATCH');
    assert.deepEqual(
      log.map(({ status }) => status),
      [429, 429, 200],
    );
    const gap = Date.parse(log[1]?.at ?? '') - Date.parse(log[0]?.at ?? '');
    assert.ok(gap >= 990, `retried after ${gap} ms`);
    const scheduled = (await events(number)).filter((name) => name === 'activityTaskScheduled');
    assert.equal(scheduled.length, 5, 'claim, GET, verify, PATCH, verify');
  });

  for (const [what, rule, taken] of [
    ['a cut connection after taking effect', { do: { drop: 'after' } }, true],
    ['a cut connection before taking effect', { do: { drop: 'before' } }, false],
    ['a 500', { do: { status: 500, code: 'SYSTEM_ERROR' } }, false],
    ['a 2xx with a wrong signature', { do: { forge: 'signature' } }, true],
    ['a 2xx that is unsigned', { do: { forge: 'unsigned' } }, true],
    ['an unsigned 400', { do: { status: 400, code: 'PARAM_ERROR', unsigned: true } }, false],
    ['an unsigned 404', { do: { status: 404, code: 'NOT_FOUND', unsigned: true } }, false],
  ] as const)
    it(`unknown: after ${what} a GET tells, and the rest is sent`, async () => {
      const { policy, number } = await opened();
      await synced(number);
      await world.faults(fault(number, { method: 'PATCH', times: 1, ...rule } as never));
      await world.client.approve(policy, { policy_code: 'C1' });
      await synced(number);
      assert.equal((await world.held(number))?.policy_state, APPROVED);
      assert.deepEqual(await methods(number), taken ? ['GET', 'PATCH', 'GET'] : ['GET', 'PATCH', 'GET', 'PATCH']);
    });

  it('refused: a signed 400 blocks with its code and Request-ID, and resume goes on', async () => {
    const { policy, number } = await approved();
    await world.faults(fault(number, { method: 'PATCH', times: 1, do: { status: 400, code: 'PARAM_ERROR' } }));
    await world.client.amend(policy, { address: 'B' });
    const status = await world.until(number, ({ sync }) => sync === 'BLOCKED');
    assert.equal(status.block?.code, 'PARAM_ERROR');
    assert.ok(status.block?.request_id);
    const patches = (await methods(number)).filter((method) => method === 'PATCH').length;
    assert.equal(patches, 1, 'the same values are never sent again');
    await world.client.resume(policy);
    await synced(number);
    assert.equal((await world.held(number))?.address, 'B');
  });

  it('refused: a signed 403 RULE_LIMIT blocks, and an amendment goes on', async () => {
    const { policy, number } = await approved();
    await world.faults(fault(number, { method: 'PATCH', times: 1, do: { status: 403, code: 'RULE_LIMIT' } }));
    await world.client.amend(policy, { address: 'B' });
    await world.until(number, ({ sync, block }) => sync === 'BLOCKED' && block?.code === 'RULE_LIMIT');
    await world.client.amend(policy, { address: 'C' });
    await synced(number);
    assert.equal((await world.held(number))?.address, 'C');
  });

  it('refused: a GET that WeChat Pay refuses blocks, MongoDB knows it, and resume asks again', async () => {
    const number = uniqueNumber('E');
    const record = recordOf({ out_insurance_no: number }, { mchid: world.mchid });
    await world.put({ ...record.policy });
    await world.faults(fault(number, { method: 'GET', times: 1, do: { status: 400, code: 'PARAM_ERROR' } } as never));
    await world.client.openPolicy(record);
    const { block } = await world.until(number, ({ sync }) => sync === 'BLOCKED');
    assert.equal(block?.code, 'PARAM_ERROR');
    while ((await findPolicy(world.storage, world.mchid, number))?.sync !== 'BLOCKED') await delay(50);
    await world.client.resume({ mchid: world.mchid, out_insurance_no: number });
    await synced(number);
  });

  it('refused: a policy once confirmed and then unknown is DIVERGED, and never uploaded again', async () => {
    const { policy, number } = await approved({ upload: { appid: 'wx1', openid: 'o1' } });
    await world.forget(number);
    const { differences } = await world.client.verify(policy);
    assert.deepEqual(
      differences.map(({ field }) => field),
      ['out_insurance_no'],
    );
    await world.until(number, ({ sync }) => sync === 'DIVERGED');
    assert.equal((await methods(number)).includes('POST'), false);
  });

  it("merchant's fault: a 401 blocks no policy, and is retried until the merchant is right again", async () => {
    const { policy, number } = await approved();
    await world.faults(fault(number, { times: 2, do: { status: 401, code: 'SIGN_ERROR', unsigned: true } }));
    await world.client.amend(policy, { address: 'B' });
    await synced(number);
    assert.equal((await world.held(number))?.address, 'B');
  });

  it('404 with upload data uploads; without it blocks, saying so', async () => {
    const upload = { appid: 'wx1', openid: 'o1' };
    const numbers = [uniqueNumber('E'), uniqueNumber('E')] as const;
    for (const [index, out_insurance_no] of numbers.entries()) {
      const settings = { mchid: world.mchid, ...(index === 0 && { upload }) };
      const changes = { out_insurance_no, insurance_company_code: 'IC1', free_insurance: false };
      await world.client.openPolicy(recordOf(changes, settings));
    }
    await synced(numbers[0]);
    assert.equal((await world.held(numbers[0]))?.policy_state, 'POLICY_STATE_ISSUING');
    const { block } = await world.until(numbers[1], ({ sync }) => sync === 'BLOCKED');
    assert.equal(block?.code, 'UNKNOWN_POLICY');
  });

  it('upload data that lacked, or was refused, is amended: the policy is uploaded; after that it is refused', async () => {
    const number = uniqueNumber('E');
    const policy = { mchid: world.mchid, out_insurance_no: number };
    const changes = { out_insurance_no: number, insurance_company_code: 'IC1', free_insurance: false };
    await world.client.openPolicy(recordOf(changes, { mchid: world.mchid }));
    kept.keep(number);
    await world.until(number, ({ block }) => block?.code === 'UNKNOWN_POLICY');
    await world.faults(fault(number, { method: 'POST', times: 1, do: { status: 400, code: 'PARAM_ERROR' } }));
    await world.client.amend(policy, { upload: { appid: 'wx1', openid: 'wrong' } });
    await world.until(number, ({ block }) => block?.code === 'PARAM_ERROR');
    assert.equal((await world.client.amend(policy, { upload: { openid: 'o2' } })).outcome, 'accepted');
    await synced(number);
    // The path of a POST names no policy.
    const bodies = (await world.requests())
      .filter(({ method }) => method === 'POST')
      .map(({ body }) => JSON.parse(body));
    assert.deepEqual(
      bodies.filter(({ out_insurance_no }) => out_insurance_no === number).map(({ openid }) => openid),
      ['wrong', 'o2'],
    );
    assert.equal((await world.held(number))?.policy_state, 'POLICY_STATE_ISSUING');
    await assert.rejects(world.client.amend(policy, { upload: { openid: 'o3' } }), (error: unknown) => {
      return error instanceof PolicyRefused && error.rule === 'not-amendable';
    });
  });
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
    assert.equal(scheduled.length, 5, 'claim, GET, verify, PATCH, verify');
  });
});

describe('drift', () => {
  it('a field changed behind our back is found by a verification, healed, and recorded', async () => {
    const { number, record } = await approved({ verification: { every: '1s' } });
    await world.patch(number, { address: 'tampered' });
    while ((await world.held(number))?.address !== record.policy.address) await delay(100);
    await synced(number);
  });

  it('a state changed behind our back is reported, never undone, and accept makes it ours', async () => {
    const { policy, number } = await approved({ verification: { every: '1s' } });
    await world.patch(number, { policy_state: INACTIVE });
    const status = await world.until(number, ({ sync }) => sync === 'DIVERGED');
    assert.deepEqual(status.diverged, ['policy_state']);
    assert.equal((await world.held(number))?.policy_state, INACTIVE);
    await world.client.accept(policy);
    const accepted = await synced(number);
    assert.equal(accepted.state, 'INACTIVE');
  });

  async function discrepancies(number: string, enough: (became: string[]) => boolean): Promise<ReadDiscrepancy[]> {
    for (const from = Date.now(); ; await delay(50)) {
      const all = (await listDiscrepancies(world.storage, `${world.mchid}/${number}`, 50)).reverse();
      if (enough(all.map(({ became }) => became))) return all;
      if (Date.now() - from > 30_000) throw new Error(`not so after 30 s: ${JSON.stringify(all)}`);
    }
  }

  it('a field that drifts back three times is CONTESTED: reported, marked, not pushed again until a person decides', async () => {
    const { policy, number, record } = await approved();
    for (const value of ['one', 'two']) {
      await world.patch(number, { address: value });
      await world.client.verify(policy);
      await synced(number);
      assert.equal((await world.held(number))?.address, record.policy.address, 'healed');
    }
    await world.patch(number, { address: 'three' });
    await world.client.verify(policy);
    const status = await world.until(number, ({ sync }) => sync === 'DIVERGED');
    assert.deepEqual([status.diverged, status.attention], [['address'], ['contested:address']]);
    assert.equal((await world.held(number))?.address, 'three');
    const found = await discrepancies(number, (became) => became.join() === 'healed,healed,contested');
    assert.deepEqual(
      found.map(({ field, kind, theirs }) => [field, kind, theirs]),
      [
        ['address', 'drift', 'one'],
        ['address', 'drift', 'two'],
        ['address', 'drift', 'three'],
      ],
    );
    const raw = JSON.stringify(await world.storage.discrepancies.find({}).toArray());
    assert.ok(!raw.includes('"three"'), 'personal values rest sealed');
    await world.client.resume(policy);
    assert.deepEqual((await synced(number)).attention, []);
    assert.equal((await world.held(number))?.address, record.policy.address, 'ours was pushed');
  });

  it('on_drift report and on_state_drift heal do as they say', async () => {
    const reporting = await approved({ verification: { on_drift: 'report' } });
    await world.patch(reporting.number, { address: 'theirs' });
    await world.client.verify(reporting.policy);
    await world.until(reporting.number, ({ sync, diverged }) => sync === 'DIVERGED' && diverged.includes('address'));
    await world.client.accept(reporting.policy);
    await synced(reporting.number);
    assert.equal((await world.held(reporting.number))?.address, 'theirs');
    const healing = await approved({ verification: { on_state_drift: 'heal' } });
    await world.patch(healing.number, { policy_state: INACTIVE });
    await world.client.verify(healing.policy);
    await synced(healing.number);
    assert.equal((await world.held(healing.number))?.policy_state, APPROVED);
    await discrepancies(healing.number, (became) => became.join() === 'healed');
  });

  it('names that no key opens are an alert, never drift', async () => {
    const { policy, number } = await approved();
    await world.faults(fault(number, { method: 'GET', times: 1, do: { names: 'unreadable' } } as never));
    assert.deepEqual((await world.client.verify(policy)).differences, []);
    const { attention } = await world.until(number, (status) => status.attention.length > 0);
    assert.deepEqual(attention, ['unreadable:insured_name_list']);
    assert.deepEqual((await methods(number)).includes('PATCH'), false);
    await world.client.verify(policy);
    await world.until(number, (status) => status.attention.length === 0 && status.sync === 'SYNCED');
    await discrepancies(number, (became) => became.join() === 'reported');
  });

  it('callers of verify at the same time share one GET', async () => {
    const { policy, number } = await approved();
    await world.until(number, ({ call }) => call === 'verify');
    const before = (await methods(number)).length;
    await world.patch(number, { car_number: 'X' });
    const answers = await Promise.all([1, 2, 3].map(() => world.client.verify(policy)));
    for (const { differences } of answers)
      assert.deepEqual(
        differences.map(({ field }) => field),
        ['car_number'],
      );
    const gets = (await methods(number)).slice(before).filter((method) => method === 'GET');
    assert.ok(gets.length <= 2, `${gets.length} GETs`);
    await synced(number);
  });

  it('verify, asked time and again, is answered each time, also when the run hands over to a fresh one', async () => {
    const { policy, number } = await approved();
    const { runId } = await handleOf(number).describe();
    const fresh = async (): Promise<boolean> => (await handleOf(number).describe()).runId !== runId;
    for (let asked = 0; asked < 100 && !(await fresh()); asked++)
      assert.deepEqual((await world.client.verify(policy)).differences, []);
    assert.ok(await fresh(), 'a fresh run');
  });

  it('a verification that WeChat Pay refuses blocks, costs nothing while it lasts, and is over with its first answer', async () => {
    const { policy, number } = await approved({ verification: { every: '1s' } });
    await world.faults(fault(number, { method: 'GET', do: { status: 403, code: 'RULE_LIMIT' } }));
    await world.until(number, ({ sync, call }) => sync === 'BLOCKED' && call === 'verify');
    await assert.rejects(world.client.verify(policy), { name: 'Unavailable', message: /RULE_LIMIT/ });
    await world.until(number, ({ sync, call }) => sync === 'BLOCKED' && call === 'verify');
    const before = await events(number);
    const refused = (await methods(number)).length;
    while ((await methods(number)).length < refused + 3) await delay(100);
    assert.deepEqual(await events(number), before);
    await world.faults();
    assert.equal((await synced(number)).block, null);
  });
});

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
    return fresh();
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
});

describe('records', () => {
  it('MongoDB has the policy as the workflow sees it, sealed, and one document per attempt', async () => {
    const { policy, number } = await opened();
    await synced(number);
    await world.client.approve(policy, { policy_code: 'C1' });
    await synced(number);
    for (;;) {
      const document = await findPolicy(world.storage, world.mchid, number);
      if (document?.sync === 'SYNCED' && document.revision === 2) break;
      await delay(50);
    }
    const document = await findPolicy(world.storage, world.mchid, number);
    assert.equal(document?.policy_state, APPROVED);
    assert.equal(document?.synced_revision, 2);
    assert.ok(document?.next_verification_at);
    const calls = await listCalls(world.storage, `${world.mchid}/${number}`, 10);
    assert.equal(calls.length, 2);
    for (const call of calls) assert.equal('outcome' in call && call.outcome, 'confirmed');
  });

  async function commands(number: string, enough: (all: ReadCommand[]) => boolean): Promise<ReadCommand[]> {
    for (const from = Date.now(); ; await delay(50)) {
      const all = (await listCommands(world.storage, `${world.mchid}/${number}`, 200)).reverse();
      if (enough(all)) return all;
      if (Date.now() - from > 30_000) throw new Error(`not so after 30 s: ${JSON.stringify(all)}`);
    }
  }

  it('every accepted message is in `commands`: from whom, what it changed, when WeChat Pay confirmed it', async () => {
    const { policy, number } = await opened();
    await synced(number);
    await world.client.approve(policy, { policy_code: 'C1', by: 'underwriting', event_id: 'e1', version: 3 });
    await world.client.amend(policy, { address: 'B' });
    const at = new Date(Date.now() - 60_000).toISOString();
    await world.client.cancelBySignal(policy, { by: 'app', at, reason: 'sold the car' });
    await synced(number);
    const told = await commands(number, (all) => all.length === 4 && all.every((one) => one.confirmed_at !== null));
    assert.deepEqual(
      told.map(({ command, by, revision }) => [command, by, revision]),
      [
        ['open', null, 1],
        ['approve', 'underwriting', 2],
        ['amend', null, 3],
        ['cancel', 'app', 4],
      ],
    );
    const [, approve, amend, cancel] = told;
    assert.deepEqual([approve?.event_id, approve?.version], ['e1', 3]);
    assert.deepEqual(approve?.before.policy_state, 'POLICY_STATE_ISSUING');
    assert.deepEqual(approve?.after, { policy_state: APPROVED, policy_code: 'C1' });
    assert.deepEqual(amend?.after, { address: 'B' });
    assert.deepEqual([cancel?.business_date, cancel?.reason], [at, 'sold the car']);
    const ids = (await world.requests(number)).map(({ request_id }) => request_id);
    assert.ok(ids.includes(cancel?.request_id ?? ''), 'the Request-ID of the answer that showed it');
    const raw = JSON.stringify(await world.storage.commands.find({ mchid: world.mchid }).toArray());
    for (const personal of ['underwriting', 'sold the car']) assert.ok(!raw.includes(personal), 'at rest in the clear');
  });

  it('an ignored signal is in `commands` with its rule, a duplicate or superseded message is not', async () => {
    const { policy, number } = await approved();
    await world.client.amend(policy, { address: 'B', event_id: 'e1', version: 5 });
    await world.client.amend(policy, { address: 'C', event_id: 'e1' });
    await world.client.amend(policy, { address: 'D', version: 4 });
    await handleOf(number).signal('cancel', { cause: 'NONSENSE' });
    const told = await commands(number, (all) => all.length === 3);
    assert.deepEqual(
      told.map(({ command, rule }) => [command, rule]),
      [
        ['open', null],
        ['amend', null],
        ['cancel', 'enum'],
      ],
    );
  });

  it('end a policy that WeChat Pay has not any more: it is over with us, and that is accepted', async () => {
    const { policy, number } = await opened();
    await synced(number);
    await world.forget(number);
    await world.client.verify(policy);
    await world.until(number, ({ sync }) => sync === 'DIVERGED');
    await assert.rejects(world.client.accept(policy), { rule: 'nothing-to-accept' });
    await world.client.decline(policy, { reason: 'r' });
    await world.client.accept(policy);
    await handleOf(number).result();
    const ended = await findPolicy(world.storage, world.mchid, number);
    assert.deepEqual([ended?.end, ended?.sync], ['DECLINED', 'SYNCED']);
  });

  it('of many who wait for WeChat Pay in vain leave room for a surrender', async () => {
    const { policy, number } = await approved();
    await world.faults(fault(number, { method: 'GET', do: { status: 503, code: 'SYSTEM_ERROR', retry_after: 60 } }));
    const gets = async () => (await world.requests(number)).filter(({ method }) => method === 'GET').length;
    const before = await gets();
    // Temporal has ten updates of a workflow under way at most; a query beside them may wait for long.
    const asked = Array.from({ length: 9 }, () => world.client.verify(policy).catch((error: unknown) => error));
    await until(async () => (await gets()) > before);
    assert.equal((await world.client.cancel(policy)).outcome, 'accepted');
    await world.faults();
    await world.client.resume(policy);
    const answers = await Promise.all(asked);
    const refused = answers.filter((answer) => answer instanceof Unavailable);
    assert.match(refused[0]?.message ?? '', /others wait for WeChat Pay's answer already/);
    assert.ok(answers.every((answer) => answer instanceof Unavailable || !(answer instanceof Error)));
    await synced(number);
    assert.equal((await world.held(number))?.policy_state, INACTIVE);
  });

  it('that only ask make no event of the others forgotten', async () => {
    const { policy, number } = await approved();
    const first = await world.client.amend(policy, { address: 'A', event_id: 'e1' });
    for (let asked = 0; asked < 200; asked += 5)
      await Promise.all([1, 2, 3, 4, 5].map(() => world.client.verify(policy)));
    await world.client.amend(policy, { address: 'B' });
    assert.deepEqual(await world.client.amend(policy, { address: 'A', event_id: 'e1' }), first);
    await synced(number);
    assert.equal((await world.held(number))?.address, 'B');
  });

  it('refused or unanswered for the time being is looked at anew when it comes again', async () => {
    const { policy, number } = await approved();
    await world.faults(
      fault(number, { method: 'PATCH', times: 1, do: { drop: 'before' } }),
      fault(number, { method: 'GET', do: { status: 503, code: 'SYSTEM_ERROR', retry_after: 60 } }),
    );
    await world.client.amend(policy, { address: 'B' });
    await world.until(number, ({ call }) => call === 'query');
    await assert.rejects(world.client.accept(policy, { event_id: 'a1' }), { rule: 'unknown-outcome' });
    await world.faults();
    await world.client.resume(policy);
    await synced(number);
    assert.equal((await world.client.accept(policy, { event_id: 'a1' })).outcome, 'unchanged');
    await world.faults(fault(number, { method: 'GET', times: 1, do: { status: 403, code: 'RULE_LIMIT' } }));
    await assert.rejects(world.client.verify(policy, { event_id: 'v1' }), { name: 'Unavailable' });
    await world.faults();
    const answered = await world.client.verify(policy, { event_id: 'v1' });
    assert.deepEqual(answered, await world.client.verify(policy, { event_id: 'v1' }));
    assert.deepEqual(answered.differences, []);
  });

  it("a run that Temporal's reset brought back takes its numbers above what is on record, and is marked", async () => {
    const { policy, number } = await approved();
    const handle = handleOf(number);
    const { events: before } = await handle.fetchHistory();
    const finished = before?.findLast(({ workflowTaskCompletedEventAttributes: task }) => task)?.eventId;
    await world.client.amend(policy, { address: 'B' });
    await synced(number);
    const undone = await commands(number, (all) => all.length === 2 && all.every((one) => one.confirmed_at !== null));
    await world.temporal.workflowService.resetWorkflowExecution({
      namespace: world.namespace,
      workflowExecution: { workflowId: handle.workflowId, runId: (await handle.describe()).runId },
      workflowTaskFinishEventId: finished,
      requestId: `reset-${number}`,
      reason: 'a test',
      resetReapplyExcludeTypes: [1, 2],
    } as never);
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

  it('of a policy hold nothing of another, though a thread evaluates the code once for all that it has', async () => {
    const words = ['甲'.repeat(20), '乙'.repeat(20)] as const;
    const [one, other] = [await approved(), await approved()];
    const lives = [
      { ...one, own: words[0], foreign: [words[1], other.number] },
      { ...other, own: words[1], foreign: [words[0], one.number] },
    ];
    for (const street of [1, 2, 3])
      for (const { policy, own } of lives) await world.client.amend(policy, { address: `${own} ${street}` });
    const [codec] = world.temporal.options.loadedDataConverter.payloadCodecs;
    assert.ok(codec);
    for (const { number, own, foreign } of lives) {
      await synced(number);
      const kept = JSON.stringify(await findPolicy(world.storage, world.mchid, number));
      const told = await openedText(handleOf(number), codec);
      for (const text of [kept, told]) {
        assert.ok(text.includes(own) && text.includes(number));
        for (const word of foreign) assert.ok(!text.includes(word), word);
      }
    }
  });

  it('a flood of illegal signals is on record, each once, and no call goes on carrying them all', async () => {
    const { policy, number } = await approved();
    const flood = 100;
    const illegal = (): Promise<void> => handleOf(number).signal(cancelSignal, { cause: 'NOBODY' } as never);
    for (let sent = 0; sent < flood; sent++) await illegal();
    await commands(number, (all) => all.length === flood + 1);
    await illegal();
    const pending = async (): Promise<number> => {
      const { carried } = (await findPolicy(world.storage, world.mchid, number)) ?? {};
      return JSON.parse(String(carried)).journal.entries.length;
    };
    await until(async () => (await pending()) < 20);
    await commands(number, (all) => all.length === flood + 2);
    await world.client.resume(policy);
    await world.until(number, ({ attention }) => attention.length === 0);
  });

  it('a life terminated in the middle is not reinstated: told to resume it first, its caller can', async () => {
    const { policy, number } = await approved();
    await world.client.cancel(policy);
    await synced(number);
    await handleOf(number).terminate();
    await assert.rejects(world.client.reinstate(policy, { reason: 'changed his mind' }), (error) => {
      assert.ok(error instanceof PolicyRefused);
      assert.equal(error.rule, 'stopped');
      assert.match(error.message, /terminated; `resume` goes on with it; only then reinstate it$/);
      return true;
    });
    await world.client.resume(policy);
    await synced(number);
    await world.client.reinstate(policy, { reason: 'changed his mind' });
    await synced(number);
    assert.equal((await world.held(number))?.policy_state, APPROVED);
  });

  it('a life terminated in the middle is resumed from its record, keeping revision and messages', async () => {
    const { policy, number } = await approved();
    await world.client.amend(policy, { address: 'B', event_id: 'e1', version: 5 });
    await synced(number);
    await commands(number, (all) => all.length === 2 && all.every((one) => one.confirmed_at !== null));
    await handleOf(number).terminate();
    await world.client.resume(policy);
    const { revision } = await synced(number);
    assert.equal(revision, 2);
    assert.equal((await world.client.amend(policy, { address: 'C', version: 5 })).outcome, 'superseded');
    assert.equal((await methods(number)).filter((method) => method === 'PATCH').length, 1, 'nothing is sent again');
    const told = await commands(number, (all) => all.length === 4);
    assert.deepEqual(
      told.slice(2).map(({ command, by }) => [command, by]),
      [
        ['restored', 'resume'],
        ['resume', null],
      ],
    );
  });
});
