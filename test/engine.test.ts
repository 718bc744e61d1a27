import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { PolicyRefused } from '../client/errors.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { listDiscrepancies, type ReadDiscrepancy } from '../storage/discrepancies.ts';
import { findPolicy } from '../storage/policies.ts';
import { fault, runEngine } from './engine_fixture.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import type { World } from './world.ts';

// On the dev server, in real time: what a call's outcome leads to.
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
