import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Document } from 'mongodb';
import type { PolicyFields } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { until } from './client_namespace.ts';
import { eventually } from './faults_fixture.ts';
import type { Server, WorkerProcess } from './faults_servers.ts';
import { type FaultStage, type Policy, setFaultStage } from './faults_stage.ts';

const CODE = 'C0123456789';
const APPROVAL: PolicyFields = { policy_state: APPROVED, policy_code: CODE };
const ACTIVE: PolicyFields = { policy_state: APPROVED };

describe('MongoDB', { timeout: 300_000 }, () => {
  let stage: FaultStage;
  let server: Server;
  let worker: WorkerProcess;
  before(async () => {
    stage = await setFaultStage({ own: ['mongo'] });
    server = stage.mongo as Server;
    worker = await stage.startWorker();
  });
  after(() => stage?.stop());

  for (const [how, end] of [
    ['killed by -9', () => server.kill()],
    ['asked to end', () => server.stop()],
  ] as const)
    it(`${how} and started again: users' changes reach WeChat Pay meanwhile, and the records catch up`, async () => {
      const [underWay, approved, cancelled, amended, kept, verified] = (await Promise.all([
        stage.opened(),
        stage.opened(),
        stage.opened(ACTIVE),
        stage.opened(),
        stage.opened(ACTIVE),
        stage.opened(ACTIVE, { verification: { every: '1s' } }),
      ])) as [Policy, Policy, Policy, Policy, Policy, Policy];
      const { client } = stage;
      await client.cancel(kept, { at: '2099-01-01T00:00:00+08:00' });
      await recorded(kept, 2);
      // MongoDB has heard that it is about to be made.
      const patch = `PATCH /v3/inspolicymgr/deduct/policies/${underWay.out_insurance_no} `;
      const answering = worker.lines.wechatpay.hold('answer', patch);
      await client.approve(underWay, { policy_code: CODE });
      await answering.reached;

      await end();
      void answering.release();
      const answers = await Promise.all([
        client.approve(approved, { policy_code: CODE }),
        client.cancel(cancelled),
        client.amend(amended, { address: 'B' }),
        client.withdraw(kept),
      ]);
      assert.deepEqual(
        answers.map(({ outcome }) => outcome),
        ['accepted', 'accepted', 'accepted', 'accepted'],
      );
      const fresh = await stage.record();
      let claimed = false;
      const opening = client.openPolicy(fresh.record).finally(() => {
        claimed = true;
      });
      await Promise.all([underWay, approved, cancelled, amended].map((policy) => stage.rests(policy, 2)));
      await stage.assertRight(underWay, APPROVAL);
      await stage.assertRight(approved, APPROVAL);
      await stage.assertRight(cancelled, { policy_state: INACTIVE });
      await stage.assertRight(amended, { address: 'B' });
      const verifications = (await stage.requests(verified)).length;
      await until(async () => (await stage.requests(verified)).length > verifications + 1);
      assert.equal(claimed, false, 'a number is claimed in MongoDB');
      assert.deepEqual(await stage.requests(fresh), [], 'nothing is asked of a number not yet claimed');
      await server.start();

      assert.deepEqual((await opening).outcome, 'accepted');
      await stage.rests(fresh);
      await stage.assertRight(fresh);
      const documents = await Promise.all(
        [underWay, approved, cancelled, amended].map((policy) => recorded(policy, 2)),
      );
      assert.deepEqual(
        documents.map(({ policy_state }) => policy_state),
        [APPROVED, APPROVED, INACTIVE, underWay.record.policy.policy_state],
      );
      assert.equal((await recorded(kept, 3)).cancellation, null);
      await stage.assertRight(kept);
      for (const policy of [underWay, approved, cancelled, amended, kept, fresh, verified]) await assertCounted(policy);
      assert.deepEqual(await commandsOf(kept), ['open', 'cancel', 'withdraw']);
      assert.deepEqual(await commandsOf(cancelled), ['open', 'cancel']);
      assert.ok(worker.running());
      await client.temporal.workflow.getHandle(`policy/${stage.mchid}/${verified.out_insurance_no}`).terminate();
    });

  for (const [how, ms] of [
    ['slow, within what a record may take', 500],
    ['so slow that no record is waited for', 3_000],
  ] as const)
    it(`${how}: calls go on one by one, and the records catch up`, async () => {
      const policies = (await Promise.all([stage.opened(), stage.opened(), stage.opened(ACTIVE)])) as [
        Policy,
        Policy,
        Policy,
      ];
      const [approved, amended, cancelled] = policies;
      const { client } = stage;
      worker.lines.mongodb.slow(ms);
      await Promise.all([
        client.approve(approved, { policy_code: CODE }),
        // Each supersedes the one before, whose call may be under way.
        client.amend(amended, { address: 'B' }).then(() => client.amend(amended, { address: 'C' })),
        client.cancel(cancelled),
      ]);
      await Promise.all([stage.rests(approved, 2), stage.rests(amended, 3), stage.rests(cancelled, 2)]);
      worker.lines.mongodb.slow(0);
      await stage.assertRight(approved, APPROVAL);
      await stage.assertRight(amended, { address: 'C' });
      await stage.assertRight(cancelled, { policy_state: INACTIVE });
      await Promise.all([recorded(approved, 2), recorded(amended, 3), recorded(cancelled, 2)]);
      for (const policy of policies) await assertCounted(policy);
    });

  /** Until the policy's document is of this revision, and says that WeChat Pay holds it, as WeChat Pay's answer there does. */
  function recorded({ mchid, out_insurance_no }: Policy, revision: number): Promise<Document> {
    const look = () =>
      stage.stored((database) =>
        database.collection<Document & { _id: string }>('policies').findOne({ _id: `${mchid}/${out_insurance_no}` }),
      );
    const wanted = (found: Document | null): boolean =>
      found?.revision === revision &&
      found.synced_revision === revision &&
      found.sync === 'SYNCED' &&
      found.remote?.policy_state === found.policy_state;
    return eventually(look, wanted, 90_000) as Promise<Document>;
  }

  /** By name, in order; each once. */
  async function commandsOf({ mchid, out_insurance_no }: Policy): Promise<string[]> {
    const found = await stage.stored((database) =>
      database
        .collection('commands')
        .find({ policy: `${mchid}/${out_insurance_no}` })
        .sort({ at: 1 })
        .toArray(),
    );
    return found.map(({ command }) => command as string);
  }

  /**
   * Until `calls` has every request of the sandbox's log, with its outcome or among those owed. What was given up may be
   * written all the same: then it is in both.
   */
  async function assertCounted(policy: Policy): Promise<void> {
    const look = async () => {
      const calls = await stage.calls(policy);
      const told = calls.filter((call) => 'outcome' in call).length;
      const owed = calls.reduce((sum, call) => sum + ('count' in call ? call.count : 0), 0);
      return { told, owed, sent: (await stage.requests(policy)).filter(({ ended_at }) => ended_at !== null).length };
    };
    await eventually(look, ({ told, owed, sent }) => told + owed >= sent, 90_000);
  }
});
