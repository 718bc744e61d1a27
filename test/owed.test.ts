import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { resetWorkflow } from '../chaos/reset.ts';
import { APPROVED } from '../policy/state.ts';
import { listCalls } from '../storage/calls.ts';
import { listCommands } from '../storage/commands.ts';
import type { Call } from '../storage/documents.ts';
import { findPolicy } from '../storage/policies.ts';
import { eventually } from './faults_fixture.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import { type Database, type Line, lineTo, startDatabase } from './storage_fixture.ts';
import { startWorld, type World } from './world.ts';

// A MongoDB that cannot be reached for a while, and a WeChat Pay that throttles meanwhile.
describe('while MongoDB is away', { timeout: 180_000 }, () => {
  let database: Database;
  let line: Line;
  let world: World;
  let stop: () => Promise<void>;
  before(async () => {
    database = await startDatabase();
    line = await lineTo(database.address);
    world = await startWorld({ mongoUri: database.uri.replace(/\/\/[^/]+/, `//127.0.0.1:${line.port}`) });
    stop = await world.startWorkers();
  });
  after(async () => {
    await line?.mend();
    await stop?.();
    await world?.close();
    await line?.cut();
    await database?.stop();
  });

  async function approved(settings = {}): Promise<{ mchid: string; out_insurance_no: string }> {
    const out_insurance_no = uniqueNumber('W');
    const record = recordOf({ out_insurance_no, policy_state: APPROVED }, { mchid: world.mchid, ...settings });
    await world.put({ ...record.policy });
    await world.client.openPolicy(record);
    await synced(out_insurance_no);
    return { mchid: world.mchid, out_insurance_no };
  }

  const synced = (number: string) =>
    world.until(
      number,
      ({ sync, revision, synced_revision }) => sync === 'SYNCED' && synced_revision === revision,
      60_000,
    );

  async function calls(number: string, enough: (all: Call[]) => boolean): Promise<Call[]> {
    for (const from = Date.now(); ; await delay(200)) {
      const all = await listCalls(world.storage, `${world.mchid}/${number}`, 50);
      if (enough(all)) return all;
      if (Date.now() - from > 90_000) throw new Error(`not so after 90 s: ${JSON.stringify(all)}`);
    }
  }

  /** Types of the activities that were scheduled, in order. */
  async function activitiesOf(number: string): Promise<unknown[]> {
    const { events = [] } = await world.temporal.workflow.getHandle(`policy/${world.mchid}/${number}`).fetchHistory();
    return (events ?? []).flatMap((event) => event.activityTaskScheduledEventAttributes?.activityType?.name ?? []);
  }

  /** Until the record of the end is under way: it comes after the last GET. */
  const ending = (number: string) => async (): Promise<void> => {
    for (;;) {
      const activities = await activitiesOf(number);
      if (activities.lastIndexOf('record') > activities.lastIndexOf('query')) return;
      await delay(200);
    }
  };

  /** Surrenders, and comes back while the GET before the end of the life waits for its answer. */
  async function lastGetUnderWay(policy: { mchid: string; out_insurance_no: string }): Promise<void> {
    const number = policy.out_insurance_no;
    await world.faults({ match: { out_insurance_no: number, method: 'GET' }, times: 1, do: { delay_ms: 3_000 } });
    const before = (await world.requests(number)).length;
    await world.client.cancel(policy);
    while ((await world.requests(number)).length < before + 2) await delay(100);
  }

  it('changes reach WeChat Pay, every attempt is counted, and records and commands catch up', async () => {
    const policy = await approved();
    const number = policy.out_insurance_no;
    await line.cut();
    const throttled = { status: 429, code: 'FREQUENCY_LIMITED', retry_after: 0 };
    await world.faults({ match: { out_insurance_no: number, method: 'PATCH' }, times: 3, do: throttled });
    await world.client.amend(policy, { address: 'B', by: 'somebody' });
    await synced(number);
    assert.equal((await world.held(number))?.address, 'B');
    await line.mend();
    const all = await calls(number, (found) => found.some((one) => 'count' in one));
    const owed = all.find((one) => 'count' in one);
    assert.ok(owed && 'count' in owed);
    assert.equal(owed.count, 4, 'three throttled, one confirmed');
    const ids = (await world.requests(number)).map(({ request_id }) => request_id);
    assert.equal(owed.last_request_id, ids.at(-1));
    // The attempts are written first, the policy and its commands after them.
    const recorded = async () => (await findPolicy(world.storage, world.mchid, number))?.synced_revision;
    await eventually(recorded, (revision) => revision === 2, 60_000);
    const confirmed = async () => (await listCommands(world.storage, `${world.mchid}/${number}`, 1))[0]?.confirmed_at;
    await eventually(confirmed, Boolean, 60_000);
    const [told] = await listCommands(world.storage, `${world.mchid}/${number}`, 1);
    assert.deepEqual([told?.command, told?.by, told?.confirmed_at !== null], ['amend', 'somebody', true]);
  });

  /** Amends, and resets the workflow to before that while MongoDB is away; the server applies the amendment again. */
  async function resetAway(policy: { mchid: string; out_insurance_no: string }): Promise<() => Promise<string[]>> {
    const number = policy.out_insurance_no;
    const workflow = `policy/${world.mchid}/${number}`;
    const tasks = async (): Promise<number> => {
      const { events } = await world.temporal.workflow.getHandle(workflow).fetchHistory();
      return (events ?? []).filter((event) => event.workflowTaskCompletedEventAttributes).length;
    };
    const before = await tasks();
    await world.client.amend(policy, { address: 'B' });
    await synced(number);
    const asked = (await world.requests(number)).length;
    await line.cut();
    assert.ok(await resetWorkflow(world.temporal, workflow, (before - 0.5) / (await tasks())));
    return async () => (await world.requests(number)).slice(asked).map(({ method, status }) => `${method} ${status}`);
  }

  it('a run that a reset brought back asks WeChat Pay before it sends what the run before may have sent', async () => {
    const policy = await approved();
    const number = policy.out_insurance_no;
    const sent = await resetAway(policy);
    await world.until(number, ({ attention, sync }) => attention.includes('reset') && sync === 'SYNCED', 60_000);
    assert.deepEqual(await sent(), ['GET 200']);
    // It was told once: it sends as any other run does.
    await world.client.amend(policy, { address: 'C' });
    await eventually(
      async () => (await world.held(number))?.address,
      (address) => address === 'C',
      60_000,
    );
    await line.mend();
    const recorded = async () => (await findPolicy(world.storage, world.mchid, number))?.record.policy.address;
    await eventually(recorded, (address) => address === 'C', 90_000);
  });

  it('so does one that takes a message before it was told', async () => {
    const policy = await approved();
    const number = policy.out_insurance_no;
    const sent = await resetAway(policy);
    await world.client.amend(policy, { pet_name: 'in between' });
    await world.until(number, ({ attention, sync }) => attention.includes('reset') && sync === 'SYNCED', 60_000);
    assert.deepEqual(await sent(), ['GET 200', 'PATCH 200']);
    await line.mend();
  });

  it('so does a fresh run that takes over from it', async () => {
    const policy = await approved();
    const number = policy.out_insurance_no;
    const workflow = `policy/${world.mchid}/${number}`;
    const { address } = recordOf({}, {}).policy;
    const { runId } = await world.temporal.workflow.getHandle(workflow).describe();
    const first = world.temporal.workflow.getHandle(workflow, runId);
    const same = () => world.client.amend(policy, { address });
    // On hold it makes no call that would tell it of the reset.
    await world.client.hold(policy, { reason: 'a test' });
    while ((await first.describe()).historyLength < 485) await same();
    const { events } = await first.fetchHistory();
    const last = events?.findLast(({ workflowTaskCompletedEventAttributes: task }) => task)?.eventId;
    await world.client.unhold(policy);
    await world.client.amend(policy, { address: 'B' });
    // The server applies them all again: the run is too long at once.
    for (let more = 0; more < 20; more++) await world.client.amend(policy, { address: 'B' });
    await synced(number);
    const asked = (await world.requests(number)).length;
    await line.cut();
    await world.temporal.workflowService.resetWorkflowExecution({
      namespace: world.namespace,
      workflowExecution: { workflowId: workflow, runId },
      workflowTaskFinishEventId: last,
      requestId: `reset-${number}`,
      reason: 'a test',
    } as never);
    await world.until(number, ({ attention, sync }) => attention.includes('reset') && sync === 'SYNCED', 60_000);
    const { events: fresh } = await world.temporal.workflow.getHandle(workflow).fetchHistory();
    assert.ok(fresh?.[0]?.workflowExecutionStartedEventAttributes?.continuedExecutionRunId, 'a fresh run took over');
    const sent = (await world.requests(number)).slice(asked).map(({ method, status }) => `${method} ${status}`);
    assert.deepEqual(sent, ['GET 200']);
    await line.mend();
  });

  it('a life that is over ends once MongoDB is back, whatever came while its end could not be recorded', async () => {
    const policy = await approved({ reinstatement_within: '1s' });
    const number = policy.out_insurance_no;
    const ended = ending(number);
    await lastGetUnderWay(policy);
    const cut = Date.now();
    await line.cut();
    await ended();
    assert.equal((await world.client.resume(policy)).outcome, 'unchanged');
    await delay(500);
    await line.mend();
    await Promise.race([
      world.temporal.workflow.getHandle(`policy/${world.mchid}/${number}`).result(),
      delay(90_000, undefined, { ref: false }).then(() => assert.fail('still running')),
    ]);
    const { end, observed_at } = (await findPolicy(world.storage, world.mchid, number)) ?? {};
    assert.equal(end, 'INACTIVE');
    assert.ok(Number(observed_at) > cut, 'what WeChat Pay answered last is on record, too');
  });

  it('a verify is answered although the life is about to end, and the end follows', async () => {
    const policy = await approved({ reinstatement_within: '1s' });
    const number = policy.out_insurance_no;
    const ended = ending(number);
    await lastGetUnderWay(policy);
    await line.cut();
    await ended();
    const verified = world.client.verify(policy);
    await delay(500);
    await line.mend();
    assert.deepEqual((await verified).differences, []);
    await world.temporal.workflow.getHandle(`policy/${world.mchid}/${number}`).result();
  });

  it('a record that is owed while nothing is to be called is written once, not for ever', async () => {
    const out_insurance_no = uniqueNumber('W');
    const policy = { mchid: world.mchid, out_insurance_no };
    await world.faults({ match: { out_insurance_no, method: 'GET' }, do: { status: 400, code: 'PARAM_ERROR' } });
    await world.client.openPolicy(recordOf({ out_insurance_no }, { mchid: world.mchid }));
    await world.until(out_insurance_no, ({ sync, call }) => sync === 'BLOCKED' && call === null);
    await line.cut();
    await assert.rejects(world.client.verify(policy), { name: 'Unavailable' });
    await line.mend();
    const handle = world.temporal.workflow.getHandle(`policy/${world.mchid}/${out_insurance_no}`);
    const records = async () => (await activitiesOf(out_insurance_no)).filter((name) => name === 'record').length;
    while ((await handle.describe()).raw.pendingActivities?.length) await delay(100);
    // Of each other's end they began dozens by then.
    await delay(3_000);
    assert.ok((await records()) <= 4, `${await records()} records`);
  });

  it("a verification's attempts are counted too, and told by the first that MongoDB takes", async () => {
    const { out_insurance_no: number } = await approved({ verification: { every: '1s' } });
    const gets = async () => (await world.requests(number)).length;
    await line.cut();
    const from = await gets();
    while ((await gets()) < from + 3) await delay(200);
    await line.mend();
    const all = await calls(number, (found) => found.some((one) => 'count' in one));
    const owed = all.find((one) => 'count' in one);
    assert.ok(owed && 'count' in owed && owed.count >= 2, JSON.stringify(owed));
  });
});
