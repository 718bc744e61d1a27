import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { connectPolicyClient } from '../client/connect.ts';
import { ServerUnreachable } from '../client/errors.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { wireTime } from '../policy/time.ts';
import { until } from './client_namespace.ts';
import { type Line, lineTo } from './faults_line.ts';
import type { Server, WorkerProcess } from './faults_servers.ts';
import { type FaultStage, type Policy, setFaultStage } from './faults_stage.ts';
import { SECOND } from './fixtures.ts';

const CODE = 'C0123456789';

/** On its database file and its port, while changes are under way; the worker stays the same process all the time. */
describe('the Temporal server', { timeout: 240_000 }, () => {
  let stage: FaultStage;
  let server: Server;
  let worker: WorkerProcess;
  let impatient: PolicyClient;
  let line: Line;
  before(async () => {
    stage = await setFaultStage({ own: ['temporal'] });
    server = stage.temporal as Server;
    worker = await stage.startWorker();
    line = await lineTo(server);
    const env = { ...stage.env, TEMPORAL_ADDRESS: `127.0.0.1:${line.port}` };
    impatient = await connectPolicyClient({ env, timeout: 2_000 });
  });
  after(async () => {
    await impatient?.close();
    await line?.close();
    await stage?.stop();
  });

  for (const [how, end] of [
    ['killed by -9', () => server.kill()],
    ['asked to end', () => server.stop()],
  ] as const)
    it(`${how} and started again: calls, timers and messages go on where they were`, async () => {
      const active = { policy_state: APPROVED } as const;
      const [answered, throttled, expiring, verified, told, asked] = (await Promise.all([
        stage.opened(),
        stage.opened(),
        stage.opened(active),
        stage.opened(active, { verification: { every: '1s' } }),
        stage.opened(),
        stage.opened(),
      ])) as [Policy, Policy, Policy, Policy, Policy, Policy];

      // A call whose answer comes when there is nobody to tell, and one that the server is to try again.
      const patch = `PATCH /v3/inspolicymgr/deduct/policies/${answered.out_insurance_no} `;
      const answering = worker.lines.wechatpay.hold('answer', patch);
      await stage.client.approve(answered, { policy_code: CODE });
      await answering.reached;
      const limited = { status: 429, code: 'FREQUENCY_LIMITED', retry_after: 3 };
      await stage.faults(throttled, { method: 'PATCH', times: 2, do: limited });
      await stage.client.approve(throttled, { policy_code: CODE });
      await until(async () => (await stage.requests(throttled)).some(({ status }) => status === 429));
      // A message that arrives, and its answer that does not.
      const answer = line.hold('answer');
      const lost = assert.rejects(impatient.approve(told, { policy_code: CODE, event_id: 'told' }), unreachable);
      await until(async () => (await stage.client.status(told)).revision === 2);
      const expiry = Date.now() + 5 * SECOND;
      const expired_time = wireTime(expiry);
      await stage.client.amend(expiring, { expired_time });

      await end();
      answer.lose();
      void answering.release();
      const decision = { policy_code: CODE, event_id: 'asked' };
      await Promise.all([lost, assert.rejects(impatient.approve(asked, decision), unreachable)]);
      // Its timer fires while nobody is there.
      await delay(Math.max(0, expiry + SECOND - Date.now()));
      await server.start();

      const accepted = { revision: 2, outcome: 'accepted' };
      assert.deepEqual(await stage.client.approve(asked, decision), accepted);
      const again = await stage.client.approve(told, { policy_code: CODE, event_id: 'told' });
      assert.deepEqual(again, accepted, 'its first answer');
      const approved = [answered, throttled, told, asked];
      await Promise.all([...approved.map((policy) => stage.rests(policy, 2)), stage.rests(expiring, 3)]);
      for (const policy of approved) {
        await stage.assertRight(policy, { ...active, policy_code: CODE });
        const sent = (await stage.requests(policy)).filter(
          ({ method, status }) => method === 'PATCH' && status === 200,
        );
        assert.equal(sent.length, 1, 'sent once');
      }
      await stage.assertRight(expiring, { policy_state: INACTIVE, expired_time });
      const before = (await stage.requests(verified)).length;
      await until(async () => (await stage.requests(verified)).length > before + 1);
      assert.ok(worker.running(), 'the worker has found the server again by itself');
      await stage.client.temporal.workflow.getHandle(`policy/${stage.mchid}/${verified.out_insurance_no}`).terminate();
    });
});

function unreachable(error: unknown): true {
  assert.ok(error instanceof ServerUnreachable, String(error));
  assert.match(error.message, /^the Temporal server at \S+ does not answer: start it, or set TEMPORAL_ADDRESS$/);
  return true;
}
