import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { PolicyClient } from '../client/policy_client.ts';
import type { PolicyId } from '../client/start_operation.ts';
import { waitSynced } from '../client/wait.ts';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import type { LoggedRequest } from '../sandbox/requests.ts';
import { until } from './client_namespace.ts';
import { type Stage, setStage } from './client_stage.ts';
import { MCHID, recordOf, uniqueNumber } from './fixtures.ts';
import { assertAllLived, start, workersOf } from './story_process.ts';

const CODE = 'C0123456789';
/** Long enough to be killed in, and over before a dead worker's call is given up (20 s after its start). */
const SLOW_MS = 9_000;

describe('kill -9 of the worker', { concurrency: 2 }, () => {
  it("in the middle of npm start's story loses nothing once a worker is back", async () => {
    const story = start('--once');
    // By then all are open, and calls of theirs are under way.
    await story.says(/^healed \(\w+\): /);
    const [first] = workersOf(story);
    assert.ok(first !== undefined);
    process.kill(first, 'SIGKILL');
    await story.says(/^the worker has ended/);
    assert.equal(await story.exit, 0, story.lines.join('\n'));
    assertAllLived(story);
    assert.equal(workersOf(story).length, 2);
  });

  describe('while a PATCH is under way', () => {
    let stage: Stage;
    let client: PolicyClient;
    before(async () => {
      stage = await setStage();
      client = stage.client;
    });
    after(() => stage?.stop());

    async function control(method: string, path: string, body?: unknown): Promise<unknown> {
      const headers = { 'content-type': 'application/json' };
      const given = body === undefined ? {} : { headers, body: JSON.stringify(body) };
      const answer = await fetch(`${stage.sandboxUrl}/_sandbox/${path}`, { method, ...given });
      assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
      return answer.status === 204 ? undefined : answer.json();
    }

    async function requestsOf({ out_insurance_no }: PolicyId): Promise<LoggedRequest[]> {
      const all = (await control('GET', 'requests')) as LoggedRequest[];
      return all.filter(({ path }) => path.endsWith(`/${out_insurance_no}`));
    }

    async function held({ out_insurance_no }: PolicyId): Promise<Record<string, unknown>> {
      return (await control('GET', `policies/${out_insurance_no}`)) as Record<string, unknown>;
    }

    async function opened(): Promise<PolicyId> {
      const { policy: fields } = recordOf({ out_insurance_no: uniqueNumber('K') });
      const policy = { mchid: MCHID, out_insurance_no: fields.out_insurance_no };
      await control('PUT', `policies/${policy.out_insurance_no}`, fields);
      const { revision } = await client.openPolicy({ mchid: MCHID, policy: fields });
      await waitSynced(client, policy, revision);
      return policy;
    }

    it('ends each policy SYNCED and right, whether the PATCH took effect or not, by one legal call at a time', async () => {
      const [landed, lost, cancelled] = await Promise.all([opened(), opened(), opened()]);
      const slowly = ({ out_insurance_no }: PolicyId, wrong = {}) => ({
        match: { method: 'PATCH', out_insurance_no },
        times: 1,
        do: { delay_ms: SLOW_MS, ...wrong },
      });
      await control('PUT', 'faults', [slowly(landed), slowly(lost, { drop: 'before' }), slowly(cancelled)]);
      const policies = [landed, lost, cancelled];
      const answers = await Promise.all(policies.map((policy) => client.approve(policy, { policy_code: CODE })));
      await until(async () => {
        const logs = await Promise.all(policies.map(requestsOf));
        return logs.every((log) => log.some(({ method, ended_at }) => method === 'PATCH' && ended_at === null));
      });
      const [pid] = workers();
      assert.ok(pid !== undefined);
      process.kill(pid, 'SIGKILL');
      // A signal needs no worker to be taken.
      await client.cancelBySignal(cancelled);
      await until(async () => workers().length === 2);

      for (const [at, policy] of policies.entries())
        await waitSynced(client, policy, answers[at]?.revision ?? 0, { timeout: 80_000 });
      await until(async () => (await held(cancelled)).policy_state === INACTIVE);
      for (const policy of [landed, lost]) {
        const { policy_state, policy_code } = await held(policy);
        assert.deepEqual([policy_state, policy_code], [APPROVED, CODE]);
      }
      for (const policy of policies) await until(async () => (await client.status(policy)).sync === 'SYNCED');
      const logs = await Promise.all(policies.map(requestsOf));
      for (const log of logs) assertOneLegalCallAtATime(log);
      const patches = logs.map((log) => log.filter(({ method }) => method === 'PATCH').length);
      assert.deepEqual(patches, [1, 2, 2]);
    });

    function workers(): number[] {
      return workersOf({ lines: stage.said });
    }
  });
});

/** The sandbox is strict: it refuses what is illegal. After the PATCH whose worker was killed a GET comes first. */
function assertOneLegalCallAtATime(log: LoggedRequest[]): void {
  for (const [at, { n, at: began, status }] of log.entries()) {
    const before = log[at - 1];
    assert.ok(status === 200 || status === null, `call ${n}: ${status}`);
    if (!before) continue;
    assert.ok(before.ended_at !== null && before.ended_at <= began, `call ${n} begins before call ${before.n} ends`);
  }
  const killed = log.findIndex(({ method }) => method === 'PATCH');
  assert.equal(log[killed + 1]?.method, 'GET');
}
