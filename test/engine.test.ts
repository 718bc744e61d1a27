import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { PolicyRefused } from '../client/errors.ts';
import { workflowIdOf } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { listDiscrepancies, type ReadDiscrepancy } from '../storage/discrepancies.ts';
import { findPolicy } from '../storage/policies.ts';
import { until } from './client_namespace.ts';
import { fault, type Opened, runEngine } from './engine_fixture.ts';
import { overlapping } from './faults_fixture.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import { startWorld, type World } from './world.ts';

// On the dev server, in real time: what a call's outcome leads to, and what it costs.
const engine = runEngine();
const { handleOf, opened, approved, synced, methods, events, keep } = engine;
let world: World;
before(async () => {
  world = await engine.world();
});

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
    assert.equal(scheduled.length, 4, 'GET, verify, PATCH, verify');
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
    keep(number);
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
