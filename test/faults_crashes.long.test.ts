import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Document } from 'mongodb';
import { type PolicyFields, workflowIdOf } from '../policy/record.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { until } from './client_namespace.ts';
import { eventually } from './faults_fixture.ts';
import type { Held } from './faults_line.ts';
import type { WorkerProcess } from './faults_servers.ts';
import { type FaultStage, type Policy, setFaultStage } from './faults_stage.ts';

const CODE = 'C0123456789';
const APPROVAL: PolicyFields = { policy_state: APPROVED, policy_code: CODE };
/** Long enough to be killed in, and over before a dead worker's call is given up (20 s after its start). */
const LATE_MS = 9_000;
const UPLOAD = { insurance_company_code: 'IC1', free_insurance: false };
const UPLOADED = { upload: { appid: 'wx1', openid: 'o1' } };

/**
 * Each worker reaches Temporal, MongoDB and WeChat Pay by lines on which any step can be held, so it is killed in it. On a
 * busy machine a worker makes two calls at once: where more are held there are several workers, and all of them are killed.
 */
describe('kill -9 of a worker', { timeout: 300_000 }, () => {
  let stage: FaultStage;
  let workers: WorkerProcess[];
  before(async () => {
    stage = await setFaultStage();
    workers = await Promise.all([1, 2, 3].map(() => stage.startWorker()));
  });
  after(() => stage?.stop());

  const request = (method: string, { out_insurance_no }: Policy) =>
    `${method} /v3/inspolicymgr/deduct/policies/${out_insurance_no} `;
  const approve = (policy: Policy) => stage.client.approve(policy, { policy_code: CODE });
  const opened = (count: number) => Promise.all(Array.from({ length: count }, () => stage.opened()));

  describe('while PATCHes are under way, and started again', () => {
    let policies: Policy[];
    let unsent: Policy;
    let answered: Policy;
    let late: Policy;
    let unrecorded: Policy;
    let recorded: Policy;
    before(async () => {
      policies = await opened(5);
      [unsent, answered, late, unrecorded, recorded] = policies as [Policy, Policy, Policy, Policy, Policy];
      await stage.faults(late, { method: 'PATCH', do: { delay_ms: LATE_MS } });
      const holding = [
        heldAtOneOf(workers, ({ wechatpay }) => wechatpay.hold('answer', request('PATCH', unrecorded))),
        heldAtOneOf(workers, ({ wechatpay }) => wechatpay.hold('request', request('PATCH', unsent))),
        heldAtOneOf(workers, ({ wechatpay }) => wechatpay.hold('answer', request('PATCH', answered))),
      ] as const;
      await Promise.all([unsent, answered, late, unrecorded].map(approve));
      const [recording] = await Promise.all(holding);
      await until(async () => (await stage.requests(late)).some(({ method }) => method === 'PATCH'));

      // MongoDB hears of it, and Temporal does not.
      const telling = heldAtOneOf(workers, ({ mongodb }) => mongodb.hold('answer', ...outcomeOf(recorded)));
      await approve(recorded);
      const outcome = await telling;
      const silence = outcome.worker.lines.temporal.hold('request');
      await outcome.held.release();
      await until(async () =>
        (await stage.calls(recorded)).some((call) => 'outcome' in call && call.method === 'PATCH'),
      );

      const record = recording.worker.lines.mongodb.hold('request', ...outcomeOf(unrecorded));
      void recording.held.release();
      await record.reached;
      await Promise.all(workers.map((worker) => worker.kill()));
      silence.lose();
      // A signal needs no worker to be taken.
      await stage.client.cancelBySignal(late);
      workers = await Promise.all([stage.startWorker(), stage.startWorker()]);
      await Promise.all(policies.map((policy) => stage.rests(policy, 2)));
    });

    /** Every call before the kill and after it; what was sent once and took effect is not sent again. */
    const rows: [
      step: string,
      policy: () => Policy,
      patches: number,
      more?: { held?: PolicyFields; unsent?: string[] },
    ][] = [
      ['before its request reaches WeChat Pay', () => unsent, 1, { unsent: ['PATCH'] }],
      ['after it took effect, before the answer', () => answered, 1],
      [
        'before it takes effect, which it does later, and after a cancellation',
        () => late,
        2,
        { held: { policy_state: INACTIVE } },
      ],
      ['after the answer, before the record', () => unrecorded, 1],
      ['after the record, before Temporal hears of it', () => recorded, 1],
    ];
    for (const [step, policyOf, patches, { held = {}, unsent: never = [] } = {}] of rows)
      it(`${step}: WeChat Pay is asked before anything is sent, and holds what it should`, async () => {
        const policy = policyOf();
        await stage.rests(policy, 2);
        await stage.assertRight(policy, { ...APPROVAL, ...held });
        const methods = (await stage.requests(policy)).map(({ method }) => method);
        assert.equal(methods.filter((method) => method === 'PATCH').length, patches, methods.join());
        const first = methods.indexOf('PATCH');
        assert.equal(methods[never.length ? first - 1 : first + 1], 'GET', methods.join());
        await assertTold(policy, never);
      });
  });

  describe('of two', () => {
    let survivor: WorkerProcess;
    let bystanders: Policy[];
    let dying: Policy;
    /** What the worker that died had written of its policy, on its way to MongoDB. */
    let lateRecord: Held;
    before(async () => {
      bystanders = await opened(3);
      dying = await stage.opened();
      const answers = workers.map(({ lines }) =>
        bystanders.map((policy) => lines.wechatpay.hold('answer', request('PATCH', policy))),
      );
      await Promise.all(bystanders.map(approve));
      await Promise.all(bystanders.map((_, at) => Promise.race(answers.map((held) => held[at]?.reached))));

      const records = workers.map(({ lines }) => lines.mongodb.hold('request', ...recordOf(dying, 2)));
      await stage.client.amend(dying, { address: 'B' });
      const dead = await Promise.race(records.map(({ reached }, at) => reached.then(() => at)));
      await workers[dead]?.kill();
      const other = dead === 0 ? 1 : 0;
      survivor = workers[other] as WorkerProcess;
      lateRecord = records[dead] as Held;
      for (const held of [...(answers[other] ?? []), records[other]]) void held?.release();
    });

    it('the other goes on with what is its own and what is new', async () => {
      const fresh = await stage.opened();
      await approve(fresh);
      await stage.rests(fresh, 2);
      await stage.assertRight(fresh, APPROVAL);
      assert.ok(survivor.running());
    });

    it('a record of a life that was terminated comes after the first of its next life, and changes nothing', async () => {
      const policy = await stage.opened({ policy_state: APPROVED });
      const workflow = stage.client.temporal.workflow.getHandle(workflowIdOf(policy.mchid, policy.out_insurance_no));
      const { runId } = await workflow.describe();
      const written = survivor.lines.mongodb.hold('request', runId, ...recordOf(policy, 2));
      // No call follows from it: its record comes alone.
      await stage.client.cancel(policy, { at: '2099-01-01T00:00:00+08:00' });
      await written.reached;
      await workflow.terminate();
      await stage.client.resume(policy);
      await stage.rests(policy);
      const before = await eventually(
        () => document(policy),
        ({ life, sync }) => life !== runId && sync === 'SYNCED',
      );
      await written.release();
      assert.deepEqual(await document(policy), before);
      await stage.assertRight(policy, { policy_state: APPROVED });
    });

    it('the other killed too, in opening, asking, uploading and verifying: another takes all of it on', async () => {
      workers = [survivor, await stage.startWorker()];
      const verified = await stage.opened({ policy_state: APPROVED }, { verification: { every: '1s' } });
      const asked = await stage.record();
      const uploaded = await stage.record(UPLOAD, UPLOADED);
      const claimed = await stage.record();
      const holding = [
        heldAtOneOf(workers, ({ wechatpay }) => wechatpay.hold('answer', request('GET', verified))),
        heldAtOneOf(workers, ({ wechatpay }) => wechatpay.hold('answer', request('GET', asked))),
        heldAtOneOf(workers, ({ wechatpay }) =>
          wechatpay.hold('answer', 'POST /v3/', `"${uploaded.out_insurance_no}"`),
        ),
      ];
      const claiming = heldAtOneOf(workers, ({ mongodb }) =>
        mongodb.hold('answer', 'insert\0', claimed.out_insurance_no),
      );
      await Promise.all([asked, uploaded].map(({ record }) => stage.client.openPolicy(record)));
      await Promise.all(holding);
      const opening = stage.client.openPolicy(claimed.record);
      await claiming;
      await Promise.all(workers.map((worker) => worker.kill()));
      const next = await stage.startWorker();
      workers = [next];
      assert.equal((await opening).outcome, 'accepted');

      const policies = [asked, uploaded, claimed, dying, ...bystanders];
      await Promise.all(policies.map((policy) => stage.rests(policy)));
      for (const policy of [asked, uploaded, claimed]) await stage.assertRight(policy);
      for (const policy of bystanders) await stage.assertRight(policy, APPROVAL);
      for (const policy of [asked, uploaded, claimed, ...bystanders]) await assertTold(policy);
      const posts = (await stage.requests(uploaded)).filter(({ method }) => method === 'POST');
      assert.equal(posts.length, 1, 'an upload that took effect is not sent again');
      const before = (await stage.requests(verified)).length;
      await until(async () => (await stage.requests(verified)).length > before + 1, 60_000);
    });

    it('the record that a worker wrote while it died comes after a newer one, and changes nothing', async () => {
      await stage.rests(dying, 2);
      await stage.assertRight(dying, { address: 'B' });
      await stage.client.amend(dying, { address: 'C' });
      await stage.rests(dying, 3);
      const before = await eventually(
        () => document(dying),
        ({ revision, sync }) => revision === 3 && sync === 'SYNCED',
      );
      await lateRecord.release();
      assert.deepEqual(await document(dying), before);
    });
  });

  it('while it cannot reach MongoDB: the attempt that it died of is counted', async () => {
    const [policies, [worker]] = [await opened(2), workers as [WorkerProcess]];
    const [patched, asked] = policies as [Policy, Policy];
    const { mongodb, wechatpay } = worker.lines;
    // The GET after an unknown outcome, whose attempts the server repeats, dies too; a PATCH ends its call.
    await stage.faults(asked, { method: 'PATCH', do: { drop: 'after' } });
    const held = [wechatpay.hold('answer', request('PATCH', patched)), wechatpay.hold('answer', request('GET', asked))];
    const silence = mongodb.hold('request');
    await Promise.all(policies.map(approve));
    await Promise.all(held.map(({ reached }) => reached));
    // Temporal has to know of the attempts: the worker tells it beside the request, and may die in between.
    for (const policy of policies) await eventually(() => hasHeartbeat(policy), Boolean);
    await worker.kill();
    silence.lose();
    workers = [await stage.startWorker()];
    for (const policy of policies) {
      await stage.rests(policy, 2);
      await stage.assertRight(policy, APPROVAL);
    }
    // Of `asked`, the PATCH is owed as well: MongoDB was away when it was cut.
    const owed = await Promise.all([owedOf(patched, 1), owedOf(asked, 2)]);
    assert.deepEqual(owed, [1, 2]);
  });

  /** Holds a step at whichever worker it comes to. */
  function heldAtOneOf(some: WorkerProcess[], hold: (lines: WorkerProcess['lines']) => Held) {
    const holds = some.map((worker) => ({ worker, held: hold(worker.lines) }));
    return Promise.race(holds.map((one) => one.held.reached.then(() => one)));
  }

  /** Whether the call under way has told Temporal of its attempt. */
  async function hasHeartbeat({ mchid, out_insurance_no }: Policy): Promise<boolean> {
    const workflow = stage.client.temporal.workflow.getHandle(workflowIdOf(mchid, out_insurance_no));
    const { pendingActivities } = (await workflow.describe()).raw;
    return pendingActivities?.some(({ heartbeatDetails }) => heartbeatDetails?.payloads?.length) ?? false;
  }

  /** How many attempts `calls` has as a number only, once they are so many, or after a while. */
  async function owedOf(policy: Policy, enough: number): Promise<number> {
    const look = async () =>
      (await stage.calls(policy)).reduce((sum, call) => sum + ('count' in call ? call.count : 0), 0);
    return eventually(look, (count) => count >= enough, 60_000);
  }

  /** On the wire: the outcome of a PATCH, written to `calls`. */
  function outcomeOf({ out_insurance_no }: Policy): string[] {
    return ['calls\0', out_insurance_no, 'PATCH\0', 'confirmed\0'];
  }

  /** On the wire: the policy's document as of a revision. */
  function recordOf({ out_insurance_no }: Policy, revision: number): string[] {
    return ['policies\0', out_insurance_no, `\x10revision\0${String.fromCharCode(revision)}\0\0\0`];
  }

  async function document({ mchid, out_insurance_no }: Policy): Promise<Document> {
    const found = await stage.stored((database) =>
      database.collection<{ _id: string }>('policies').findOne({ _id: `${mchid}/${out_insurance_no}` }),
    );
    assert.ok(found);
    return found;
  }

  /**
   * `calls` has every request that the sandbox saw: with its answer, or, where the worker died of it or waited for longer
   * than it does, as what it was about to send. `never`: the methods of those that did not reach the sandbox. Where MongoDB
   * was too slow to take an attempt, the summary of those owed has it.
   */
  async function assertTold(policy: Policy, never: string[] = []): Promise<void> {
    const look = async () => {
      const attempts = await stage.calls(policy);
      const owed = attempts.reduce((sum, call) => sum + ('count' in call ? call.count : 0), 0);
      const sent = attempts.filter((call) => 'method' in call && !('code' in call && call.code === 'not-connected'));
      const ids = new Set(sent.flatMap((call) => ('request_id' in call && call.request_id) || []));
      const blind = sent.flatMap((call) =>
        'method' in call && !('request_id' in call && call.request_id) ? [call.method] : [],
      );
      const lacking = (await stage.requests(policy)).filter(({ request_id }) => !ids.has(request_id));
      return { blind: blind.sort(), lacking: [...lacking.map(({ method }) => method), ...never].sort(), owed };
    };
    await eventually(
      look,
      ({ blind, lacking, owed }) =>
        blind.join() === lacking.join() || (owed > 0 && blind.length + owed >= lacking.length),
      15_000,
    );
  }
});
