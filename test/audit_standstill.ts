import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { workflowIdOf } from '../policy/record.ts';
import { APPROVED } from '../policy/state.ts';
import type { Storage } from '../storage/connection.ts';
import { countAttention } from '../storage/lives.ts';
import { type AuditStage, of } from './audit_fixture.ts';
import { until } from './client_namespace.ts';
import type { Stage } from './client_stage.ts';
import { MCHID, recordOf } from './fixtures.ts';

/** What is said of policies whose workflow keeps nothing in step. */
export function policiesThatStandStill(on: AuditStage): void {
  const { line, handleOf, synced, audited, about, command } = on;
  let stage: Stage;
  let storage: Storage;
  before(async () => {
    ({ stage, storage } = await on.ready());
  });

  describe('a policy that stands still', { timeout: 180_000 }, () => {
    /** Whether this server can: 1.29 cannot, and later ones only where they are told to. */
    async function paused(number: string): Promise<boolean> {
      const { workflowService, options } = stage.client.temporal;
      const which = { namespace: options.namespace, workflowId: workflowIdOf(MCHID, number) };
      try {
        await workflowService.pauseWorkflowExecution({ ...which, reason: 'for a test', requestId: number });
        return true;
      } catch (error) {
        if (!/not enabled|unimplemented|disabled/i.test(String(error))) throw error;
        return false;
      }
    }

    async function unpause(number: string): Promise<void> {
      const { workflowService, options } = stage.client.temporal;
      const which = { namespace: options.namespace, workflowId: workflowIdOf(MCHID, number) };
      await workflowService.unpauseWorkflowExecution({ ...which, requestId: `${number}-on` });
    }

    /** The row of the list, the text of `show`, the kinds that the audit found, what the metric counts. */
    async function seen(number: string, kind: string) {
      const row = async () =>
        (await command('list', '--attention')).lines.find(({ out_insurance_no }) => out_insurance_no === number);
      // Visibility follows the workflow within a second or so.
      await until(async () => (await row()) !== undefined);
      const listed = await row();
      const { stdout } = await line.run(['show', number], stage.env);
      const found = about(await audited({ fix: true }), number);
      return { listed, shown: stdout, found, counted: (await countAttention(storage))[kind] };
    }

    it('because its workflow was cancelled is named STOPPED everywhere', async () => {
      const number = await synced();
      const before = (await countAttention(storage)).stopped ?? 0;
      await handleOf(number).cancel();
      await assert.rejects(handleOf(number).result());
      const { listed, shown, found, counted } = await seen(number, 'stopped');
      assert.deepEqual([listed.code, listed.workflow, listed.sync], ['STOPPED', 'CANCELLED', 'STOPPED']);
      assert.match(listed.since, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+08:00$/);
      assert.match(shown, /^sync +STOPPED since \S+\+08:00: syncing was stopped; `resume` goes on with it$/m);
      assert.deepEqual(found, ['stopped']);
      assert.equal(counted, before + 1);
      await stage.client.resume(of(number));
    });

    it('because its workflow was terminated is named so before any audit, though its last word was SYNCED', async () => {
      const number = await synced();
      await handleOf(number).terminate('by hand');
      await until(async () =>
        (await command('list', '--attention')).lines.some(({ out_insurance_no }) => out_insurance_no === number),
      );
      const { lines } = await command('list', '--attention');
      const listed = lines.find(({ out_insurance_no }) => out_insurance_no === number);
      assert.deepEqual([listed.code, listed.workflow], ['TERMINATED', 'TERMINATED']);
      assert.match(listed.since, /\+08:00$/);
      const { stdout } = await line.run(['show', number], stage.env);
      assert.match(stdout, /^sync +TERMINATED since \S+ \(SYNCED before\): its workflow was terminated; `resume` /m);
      for (const words of [['list'], ['list', '--attention']]) {
        const table = (await line.run(words, stage.env)).stdout;
        assert.match(table, new RegExp(`${number} +APPROVED +TERMINATED `));
      }
      assert.deepEqual(about(await audited(), number), ['terminated']);
      assert.equal((await countAttention(storage)).terminated, 1);
      await audited({ fix: true });
      await until(async () => (await stage.client.status(of(number))).sync === 'SYNCED');
      assert.equal((await countAttention(storage)).terminated, 0);
    });

    it('because its workflow is paused is named so, told to who sends it a message, and never restarted', async (t) => {
      const number = await synced();
      if (!(await paused(number))) return t.skip('this Temporal server cannot pause workflows');
      const { runId } = await handleOf(number).describe();
      const { listed, shown, found, counted } = await seen(number, 'paused');
      assert.deepEqual([listed.code, listed.workflow], ['PAUSED', 'PAUSED']);
      assert.match(listed.since, /\+08:00$/);
      assert.match(shown, /^sync +PAUSED since \S+ \(SYNCED before\): its workflow is paused in Temporal; /m);
      assert.deepEqual(found, ['paused']);
      assert.equal(counted, 1);
      const isTold = (error: Error): boolean =>
        error.name === 'Unavailable' && /is paused in Temporal; `temporal workflow unpause`[^\n]*$/.test(error.message);
      await assert.rejects(stage.client.amend(of(number), { address: 'C' }), isTold);
      await assert.rejects(stage.client.status(of(number)), isTold);
      await assert.rejects(stage.client.resume(of(number)), isTold);
      await assert.rejects(
        stage.client.openPolicy(recordOf({ out_insurance_no: number, policy_state: APPROVED })),
        isTold,
      );
      await unpause(number);
      await until(async () => (await stage.client.status(of(number))).sync === 'SYNCED');
      assert.equal((await handleOf(number).describe()).runId, runId);
      assert.deepEqual(about(await audited(), number), []);
    });

    it('because a call of it is paused is named so', async () => {
      const number = await synced();
      await until(async () => (await stage.client.status(of(number))).call === 'verify');
      const { workflowService, options } = stage.client.temporal;
      const which = {
        namespace: options.namespace,
        execution: { workflowId: workflowIdOf(MCHID, number) },
        type: 'verify',
      };
      await until(async () => ((await handleOf(number).describe()).raw.pendingActivities ?? []).length > 0);
      await workflowService.pauseActivity({ ...which, identity: 'a person' });
      assert.deepEqual(about(await audited(), number), ['paused']);
      const { stdout } = await line.run(['show', number], stage.env);
      assert.match(stdout, /^verify: attempt \d+, paused in Temporal: `temporal activity unpause` lets it go on$/m);
      await workflowService.unpauseActivity(which);
      assert.deepEqual(about(await audited(), number), []);
    });
  });
}
