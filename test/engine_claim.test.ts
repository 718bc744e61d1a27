import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { WithStartWorkflowOperation } from '@temporalio/client';
import { MongoClient } from 'mongodb';
import { APPROVED } from '../policy/state.ts';
import { workflowIdOf } from '../policy/workflow_id.ts';
import * as messages from '../workflows/messages.ts';
import { type PolicyLifecycle, WORKFLOW_QUEUE, WORKFLOW_TYPE } from '../workflows/messages.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import { eventNames } from './history_events.ts';
import { type Line, lineTo, withDatabase } from './storage_fixture.ts';
import { startWorld, type World } from './world.ts';

// On the dev server, in real time, with a line to MongoDB that can be cut.
describe('a policy that is opened while MongoDB is away', () => {
  let line: Line;
  let world: World;
  before(async () => {
    const uri = process.env.TEST_MONGODB_URI ?? process.env.MONGODB_URI ?? assert.fail('no MongoDB');
    const { host = '127.0.0.1', port = 27017 } = new MongoClient(uri).options.hosts[0] ?? {};
    line = await lineTo({ host, port });
    const through = new URL(withDatabase(uri, `claim_${uniqueNumber('C').toLowerCase()}`));
    through.host = `127.0.0.1:${line.port}`;
    world = await startWorld({ mongoUri: through.href });
    await world.startWorkers();
  });
  after(async () => {
    await world?.close();
    await line?.cut();
  });

  it('is opened, and answered, once MongoDB is back; its claim is an activity like any other then', async () => {
    const number = uniqueNumber('Q');
    const record = recordOf({ out_insurance_no: number }, { mchid: world.mchid });
    await world.put({ ...record.policy });
    await line.cut();
    const opening = world.client.openPolicy(record);
    const handle = world.temporal.workflow.getHandle(workflowIdOf(world.mchid, number));
    const names = () => eventNames(handle).catch(() => [] as string[]);
    for (let left = 100; !(await names()).includes('activityTaskScheduled'); left--) {
      assert.ok(left > 0, `${await names()}`);
      await delay(100);
    }
    await delay(4_000);
    await line.mend();
    assert.equal((await opening).outcome, 'accepted');
    await world.until(number, ({ sync }) => sync === 'SYNCED');
    await world.replay(number);
  });

  it('takes messages of every kind with its start: none is refused because the first act has not begun', async () => {
    const options = { workflowIdConflictPolicy: 'FAIL', taskQueue: WORKFLOW_QUEUE } as const;
    const bare = [messages.verify, messages.resume, messages.withdraw, messages.unhold, messages.cancel] as const;
    for (const message of bare) {
      const out_insurance_no = uniqueNumber('Q');
      const record = recordOf({ out_insurance_no, policy_state: APPROVED }, { mchid: world.mchid });
      await world.put({ ...record.policy });
      const workflowId = workflowIdOf(world.mchid, out_insurance_no);
      const startWorkflowOperation = new WithStartWorkflowOperation<PolicyLifecycle>(WORKFLOW_TYPE, {
        ...options,
        workflowId,
        args: [record, {}],
      });
      const answer = await world.temporal.workflow.executeUpdateWithStart(message as typeof messages.resume, {
        args: [{ event_id: out_insurance_no }],
        startWorkflowOperation,
      });
      assert.match(answer.outcome, /^(accepted|unchanged)$/, message.name);
    }
  });
});
