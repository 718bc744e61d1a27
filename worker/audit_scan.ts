import type { Client } from '@temporalio/client';
import { fleetOf, isMerchantServed, STUCK_ATTEMPTS, standstill } from '../client/fleet.ts';
import type { Envelope } from '../policy/commands.ts';
import type { Storage } from '../storage/connection.ts';
import type { Finding, FindingKind } from '../storage/documents.ts';
import { NO_LIFE } from '../storage/erasure.ts';
import { listHolds } from '../storage/holds.ts';
import { giveRecord, goesOn, type Life, lifeOnRecord, recordStop } from '../storage/lives.ts';
import { type Answer, callQueueOf, restart, WORKFLOW_TYPE } from '../workflows/messages.ts';
import type { Findings } from './audit_findings.ts';
import { type Description, describePolicy, isOpen, lastFailure, type PolicyOf, waits } from './policy_workflows.ts';

/** What to do about a finding that `--fix` mends. */
const FIX = 'run `policy-sync audit --fix`';

export interface AuditPlace {
  temporal: Client;
  storage: Storage;
}

/** Looks at one policy after the other. */
export class Scan {
  readonly #place: AuditPlace;
  readonly #young: number;
  readonly #findings: Findings;
  /** Whether some worker takes a merchant's calls, as far as it was asked. */
  readonly #served = new Map<string, Promise<boolean>>();
  /** Merchants of whom it was said that nobody does. */
  readonly #unserved = new Set<string>();
  #heldBack = new Set<string>();
  readonly #halfErased = new Set<string>();

  /** @param young a workflow so young, in ms, may have its record still to make, and a call its worker to find */
  constructor(place: AuditPlace, young: number, findings: Findings) {
    this.#place = place;
    this.#young = young;
    this.#findings = findings;
  }

  async prepare(): Promise<void> {
    this.#heldBack = new Set((await listHolds(this.#place.storage)).map(({ _id }) => _id));
    const { workflowService, options } = this.#place.temporal;
    const reason = standstill(await fleetOf(workflowService, options.namespace));
    if (reason !== undefined) this.#findings.note({ kind: 'not-served', mchid: null, out_insurance_no: null, reason });
  }

  /** Of a record whose policy goes on: is there a workflow, and is it well? */
  async life(life: Life): Promise<void> {
    const found = await describePolicy(this.#place.temporal, life);
    if (found && isOpen(found)) return this.#running(life, found, life.life);
    // A workflow records its end before it ends: a record that knows none by now never will.
    if (!(await goesOn(this.#place.storage, life))) return;
    // Of another life it says nothing about this one, say that of a namespace that was left.
    const ended = found?.raw.workflowExecutionInfo?.firstRunId === life.life ? found.status.name : undefined;
    if (ended === 'CANCELLED') {
      const what = finding('stop-not-recorded', life, `was stopped, and its record does not say so: ${FIX}`);
      return this.#findings.mend(what, () => recordStop(this.#place.storage, life));
    }
    const last = found ? `the last workflow of its number is ${found.status.name}` : 'Temporal knows no workflow of it';
    const what = ended ? `its workflow is ${ended}` : last;
    const kind = ended === 'TERMINATED' ? 'terminated' : 'no-workflow';
    await this.#findings.mend(finding(kind, life, `${what}, and nothing keeps it in step: ${FIX}, or resume it`), () =>
      this.#restart(life),
    );
  }

  /** Somebody meant it: it is said, and left so. One that runs has the record of a former life, which is another finding. */
  async stopped(life: Life): Promise<void> {
    const found = await describePolicy(this.#place.temporal, life);
    if (found && isOpen(found)) return;
    this.#findings.note(
      finding('stopped', life, 'its workflow was cancelled, and nothing keeps it in step: resume it'),
    );
  }

  /** Whoever began to erase it has to end that. */
  halfErased(policy: PolicyOf): void {
    if (this.#halfErased.has(policy._id)) return;
    this.#halfErased.add(policy._id);
    const how = `policy-sync erase ${policy._id} --yes --by NAME`;
    this.#findings.note(finding('half-erased', policy, `its erasure has not come to its end: ${how}`));
  }

  /** Of a running workflow that no record is known of that goes on. */
  async unrecorded(policy: PolicyOf): Promise<void> {
    const found = await describePolicy(this.#place.temporal, policy);
    if (found && isOpen(found)) await this.#running(policy, found);
  }

  /** Is it well, and is the record, if there is one, of the life that runs? A backup of MongoDB's may know a former one. */
  async #running(policy: PolicyOf, found: Description, known?: string): Promise<void> {
    if ((await this.#look(policy, found)) === 'still') return;
    const running = found.raw.workflowExecutionInfo?.firstRunId;
    if (known === running || found.startTime.getTime() > Date.now() - this.#young) return;
    const { storage } = this.#place;
    const onRecord = await lifeOnRecord(storage, policy._id);
    if (!running || onRecord === running) return;
    // It is to end, whatever it does: nothing gives it a record again.
    if (onRecord === NO_LIFE) return this.halfErased(policy);
    const what =
      onRecord === undefined ? 'has no record of it' : 'has the record of a former life, and takes none of it';
    await this.#findings.mend(
      finding('no-record', policy, `its workflow runs, and MongoDB ${what}: ${FIX}`),
      async () => {
        if (onRecord !== undefined) await giveRecord(storage, policy._id, onRecord, running);
        const handle = this.#place.temporal.workflow.getHandle(found.workflowId);
        const args: [Envelope] = [{ by: 'audit' }];
        // Whatever it does next, it writes its record first; a GET does no harm.
        await handle.startUpdate<Answer, [Envelope]>('verify', { args, waitForStage: 'ACCEPTED' });
      },
    );
  }

  /** `still`: it takes no messages. */
  async #look(policy: PolicyOf, found: Description): Promise<'still' | 'well'> {
    if (found.status.name === 'PAUSED') {
      const how = `temporal workflow unpause -w ${found.workflowId}`;
      this.#findings.note(
        finding('paused', policy, `its workflow is paused in Temporal, and nothing keeps it in step: ${how}`),
      );
      return 'still';
    }
    const attempt = found.raw.pendingWorkflowTask?.attempt ?? 0;
    if (attempt >= STUCK_ATTEMPTS) {
      const why = await lastFailure(this.#place.temporal, found);
      this.#findings.note(finding('stuck', policy, `its workflow task has failed ${attempt - 1} times: ${why}`));
      return 'still';
    }
    const paused = found.raw.pendingActivities?.find((one) => one.paused);
    if (paused) {
      const how = `temporal activity unpause -w ${found.workflowId} -a ${paused.activityId}`;
      this.#findings.note(finding('paused', policy, `its ${paused.activityType?.name} is paused in Temporal: ${how}`));
    }
    const before = Date.now() - this.#young;
    if (found.raw.pendingActivities?.some((one) => waits(one, before))) await this.#lookAtQueue(policy.mchid);
    return 'well';
  }

  /** Says once of a merchant that its calls wait and nobody polls them; one that is held is known to wait. */
  async #lookAtQueue(mchid: string): Promise<void> {
    if (this.#heldBack.has(mchid) || (await this.#isServed(mchid)) || this.#unserved.has(mchid)) return;
    this.#unserved.add(mchid);
    const reason = `calls wait in the queue ${callQueueOf(mchid)}, which nobody polls: is the merchant in the merchants file of a worker, and not paused?`;
    this.#findings.note({ kind: 'not-served', mchid, out_insurance_no: null, reason });
  }

  #isServed(mchid: string): Promise<boolean> {
    const { workflowService, options } = this.#place.temporal;
    const asked = this.#served.get(mchid) ?? isMerchantServed(workflowService, options.namespace, mchid);
    this.#served.set(mchid, asked);
    return asked;
  }

  async #restart(life: Life): Promise<void> {
    const { typedSearchAttributes, ...options } = restart(life, 'audit', life.life);
    await this.#place.temporal.workflow.start(WORKFLOW_TYPE, {
      ...options,
      args: [...options.args],
      typedSearchAttributes: [...typedSearchAttributes],
    });
  }
}

function finding(kind: FindingKind, { mchid, out_insurance_no }: PolicyOf, reason: string): Finding {
  return { kind, mchid, out_insurance_no, reason };
}
