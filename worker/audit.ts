import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { decodeOptionalFailureToOptionalError } from '@temporalio/common/lib/internal-non-workflow/codec-helpers.js';
import proto from '@temporalio/proto';
import type { AuditResult } from '../activities/inputs.ts';
import { fleetOf, STUCK_ATTEMPTS, standstill } from '../client/fleet.ts';
import type { Envelope } from '../policy/commands.ts';
import type { Storage } from '../storage/connection.ts';
import type { Finding, FindingKind } from '../storage/documents.ts';
import { keepFindings } from '../storage/findings.ts';
import { listHolds } from '../storage/holds.ts';
import {
  adoptEnded,
  giveRecord,
  goesOn,
  type Life,
  lifeOnRecord,
  otherNamespace,
  recorded,
  recordStop,
  stoppedLives,
  unendedLives,
} from '../storage/lives.ts';
import { type Answer, callQueueOf, restart, WORKFLOW_TYPE } from '../workflows/messages.ts';
import { reasonOf } from './grpc.ts';

/** Questions to Temporal at a time: an audit is in no hurry, and others use the server. */
const AT_ONCE = 10;
const YOUNG_MS = 60_000;
const PAGE = 200;
/** No answer for so long is none: a workflow that is stuck accepts nothing. */
const MEND_MS = 10_000;
/** What to do about a finding that `--fix` mends. */
const FIX = 'run `policy-sync audit --fix`';

export interface AuditPlace {
  temporal: Client;
  storage: Storage;
}

export interface AuditOptions {
  /** Restarts what has lost its workflow, and has records made that lack. */
  fix: boolean;
  /** With `fix`: has this namespace keep also what another one keeps by its record. */
  adopt?: boolean;
  /** Told after each page. May throw to end the audit. */
  progress?: (result: AuditResult) => void;
  /** A workflow so young, in ms, may have its record still to make, and a call its worker to find. @default 60000 */
  young?: number;
}

export interface Audited extends AuditResult {
  /** What was found, and not fixed. */
  findings: Finding[];
}

/** The records are another namespace's: restarted in this one, every policy would have a second engine. */
export class OtherNamespace extends Error {
  override readonly name = 'OtherNamespace';

  constructor(own: string, other: string) {
    super(
      `the records in MongoDB are kept by the Temporal namespace ${other}, and this is ${own}: set TEMPORAL_NAMESPACE=${other}, or, once no policy runs there any more, take them over by \`policy-sync audit --fix --adopt-namespace\``,
    );
  }
}

type Description = Awaited<ReturnType<ReturnType<Client['workflow']['getHandle']>['describe']>>;
type PolicyOf = Pick<Life, '_id' | 'mchid' | 'out_insurance_no'>;

/**
 * Holds MongoDB's records against Temporal's workflows, both ways, and looks at each workflow: whether its tasks fail, or
 * its calls wait where nobody polls. One that cannot be looked at stops no other. What is left unfixed is kept in `findings`.
 * @throws OtherNamespace, before anything is looked at; StorageError, ServiceError when MongoDB or Temporal does not answer
 */
export async function audit(place: AuditPlace, options: AuditOptions): Promise<Audited> {
  const { fix, adopt = false, progress, young = YOUNG_MS } = options;
  const began = new Date();
  await checkNamespace(place, fix && adopt);
  const result: Audited = { records: 0, workflows: 0, found: {}, fixed: {}, findings: [] };
  const scan = new Scan(place, { fix, young }, result);
  await scan.prepare();
  for await (const lives of unendedLives(place.storage)) {
    await each(lives, (life) => scan.life(life));
    result.records += lives.length;
    progress?.(result);
  }
  for await (const policies of runningPolicies(place.temporal, Date.now() - young)) {
    const known = await recorded(
      place.storage,
      policies.map(({ _id }) => _id),
    );
    await each(
      policies.filter(({ _id }) => !known.has(_id)),
      (policy) => scan.unrecorded(policy),
    );
    result.workflows += policies.length;
    progress?.(result);
  }
  for await (const lives of stoppedLives(place.storage)) {
    await each(lives, (life) => scan.stopped(life));
    progress?.(result);
  }
  await keepFindings(place.storage, result.findings, began);
  return result;
}

async function checkNamespace({ temporal, storage }: AuditPlace, adopt: boolean): Promise<void> {
  const { namespace } = temporal.options;
  if (adopt) return adoptEnded(storage, namespace);
  const other = await otherNamespace(storage, namespace);
  if (other !== undefined) throw new OtherNamespace(namespace, other);
}

async function each<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const left = all.values();
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      for (const one of left) await work(one);
    }),
  );
}

/** Policies that have run since `until` at least, paused ones too, a page at a time. */
async function* runningPolicies({ workflow }: Client, until: number): AsyncGenerator<PolicyOf[]> {
  let page: PolicyOf[] = [];
  const query = `WorkflowType = '${WORKFLOW_TYPE}' AND CloseTime IS NULL`;
  for await (const { workflowId, startTime } of workflow.list({ query, pageSize: PAGE })) {
    const [, mchid, out_insurance_no] = /^policy\/([^/]+)\/([^/]+)$/.exec(workflowId) ?? [];
    if (mchid === undefined || out_insurance_no === undefined) continue;
    if (startTime.getTime() > until) continue;
    page.push({ _id: `${mchid}/${out_insurance_no}`, mchid, out_insurance_no });
    if (page.length < PAGE) continue;
    yield page;
    page = [];
  }
  yield page;
}

class Scan {
  readonly #place: AuditPlace;
  readonly #fix: boolean;
  readonly #young: number;
  readonly #result: Audited;
  readonly #polled = new Map<string, Promise<boolean>>();
  readonly #unserved = new Set<string>();
  #held = new Set<string>();

  constructor(place: AuditPlace, { fix, young }: { fix: boolean; young: number }, result: Audited) {
    this.#place = place;
    this.#fix = fix;
    this.#young = young;
    this.#result = result;
  }

  async prepare(): Promise<void> {
    this.#held = new Set((await listHolds(this.#place.storage)).map(({ _id }) => _id));
    const { workflowService, options } = this.#place.temporal;
    const reason = standstill(await fleetOf(workflowService, options.namespace));
    if (reason !== undefined) this.#note({ kind: 'not-served', mchid: null, out_insurance_no: null, reason });
  }

  /** Of a record whose policy goes on: is there a workflow, and is it well? */
  async life(life: Life): Promise<void> {
    const found = await this.#describe(life);
    if (found && isOpen(found)) return this.#running(life, found, life.life);
    // A workflow records its end before it ends: a record that knows none by now never will.
    if (!(await goesOn(this.#place.storage, life))) return;
    // Of another life it says nothing about this one, say that of a namespace that was left.
    const ended = found?.raw.workflowExecutionInfo?.firstRunId === life.life ? found.status.name : undefined;
    if (ended === 'CANCELLED') {
      const what = finding('stop-not-recorded', life, `was stopped, and its record does not say so: ${FIX}`);
      return this.#mend(what, () => recordStop(this.#place.storage, life));
    }
    const last = found ? `the last workflow of its number is ${found.status.name}` : 'Temporal knows no workflow of it';
    const what = ended ? `its workflow is ${ended}` : last;
    const kind = ended === 'TERMINATED' ? 'terminated' : 'no-workflow';
    await this.#mend(finding(kind, life, `${what}, and nothing keeps it in step: ${FIX}, or resume it`), () =>
      this.#restart(life),
    );
  }

  /** Somebody meant it: it is said, and left so. One that runs has the record of a former life, which is another finding. */
  async stopped(life: Life): Promise<void> {
    const found = await this.#describe(life);
    if (found && isOpen(found)) return;
    this.#note(finding('stopped', life, 'its workflow was cancelled, and nothing keeps it in step: resume it'));
  }

  /** Of a running workflow that no record is known of that goes on. */
  async unrecorded(policy: PolicyOf): Promise<void> {
    const found = await this.#describe(policy);
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
    const what =
      onRecord === undefined ? 'has no record of it' : 'has the record of a former life, and takes none of it';
    await this.#mend(finding('no-record', policy, `its workflow runs, and MongoDB ${what}: ${FIX}`), async () => {
      if (onRecord !== undefined) await giveRecord(storage, policy._id, onRecord, running);
      const handle = this.#place.temporal.workflow.getHandle(found.workflowId);
      const args: [Envelope] = [{ by: 'audit' }];
      // Whatever it does next, it writes its record first; a GET does no harm.
      await handle.startUpdate<Answer, [Envelope]>('verify', { args, waitForStage: 'ACCEPTED' });
    });
  }

  /** `still`: it takes no messages. */
  async #look(policy: PolicyOf, found: Description): Promise<'still' | 'well'> {
    if (found.status.name === 'PAUSED') {
      const how = `temporal workflow unpause -w ${found.workflowId}`;
      this.#note(finding('paused', policy, `its workflow is paused in Temporal, and nothing keeps it in step: ${how}`));
      return 'still';
    }
    const attempt = found.raw.pendingWorkflowTask?.attempt ?? 0;
    if (attempt >= STUCK_ATTEMPTS) {
      const why = await this.#lastFailure(found);
      this.#note(finding('stuck', policy, `its workflow task has failed ${attempt - 1} times: ${why}`));
      return 'still';
    }
    const paused = found.raw.pendingActivities?.find((one) => one.paused);
    if (paused) {
      const how = `temporal activity unpause -w ${found.workflowId} -a ${paused.activityId}`;
      this.#note(finding('paused', policy, `its ${paused.activityType?.name} is paused in Temporal: ${how}`));
    }
    const before = Date.now() - this.#young;
    if (found.raw.pendingActivities?.some((one) => waits(one, before))) await this.#lookAtQueue(policy.mchid);
    return 'well';
  }

  /** Says once of a merchant that its calls wait and nobody polls them; one that is held is known to wait. */
  async #lookAtQueue(mchid: string): Promise<void> {
    const queue = callQueueOf(mchid);
    if (this.#held.has(mchid) || (await this.#isPolled(queue, 'TASK_QUEUE_TYPE_ACTIVITY'))) return;
    if (this.#unserved.has(queue)) return;
    this.#unserved.add(queue);
    const reason = `calls wait in the queue ${queue}, which nobody polls: is the merchant in the merchants file of a worker, and not paused?`;
    this.#note({ kind: 'not-served', mchid, out_insurance_no: null, reason });
  }

  async #describe({ mchid, out_insurance_no }: PolicyOf): Promise<Description | undefined> {
    const { workflow } = this.#place.temporal;
    try {
      return await workflow.getHandle(restart({ mchid, out_insurance_no }, 'audit').workflowId).describe();
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return undefined;
      throw error;
    }
  }

  async #restart(life: Life): Promise<void> {
    const { typedSearchAttributes, ...options } = restart(life, 'audit', life.life);
    await this.#place.temporal.workflow.start(WORKFLOW_TYPE, {
      ...options,
      args: [...options.args],
      typedSearchAttributes: [...typedSearchAttributes],
    });
  }

  #isPolled(name: string, kind: keyof typeof proto.temporal.api.enums.v1.TaskQueueType): Promise<boolean> {
    const { workflowService, options } = this.#place.temporal;
    const asked =
      this.#polled.get(name) ??
      workflowService
        .describeTaskQueue({
          namespace: options.namespace,
          taskQueue: { name },
          taskQueueType: proto.temporal.api.enums.v1.TaskQueueType[kind],
        })
        .then(({ pollers }) => (pollers ?? []).length > 0);
    this.#polled.set(name, asked);
    return asked;
  }

  /** The words of the failure, which no workflow of ours puts a value in. */
  async #lastFailure({ workflowId, runId }: Description): Promise<string> {
    const { workflowService, options } = this.#place.temporal;
    const { history } = await workflowService.getWorkflowExecutionHistoryReverse({
      namespace: options.namespace,
      execution: { workflowId, runId },
      maximumPageSize: 5,
    });
    const failed = history?.events?.find((event) => event.workflowTaskFailedEventAttributes);
    const failure = failed?.workflowTaskFailedEventAttributes?.failure;
    const error = await decodeOptionalFailureToOptionalError(options.loadedDataConverter, failure).catch(
      () => undefined,
    );
    return error?.message.replace(/\s+/g, ' ').slice(0, 200) ?? 'see its history in the Temporal UI';
  }

  /** One that cannot be mended is noted as it is, and stops no other. */
  async #mend(found: Finding, mend: () => Promise<unknown>): Promise<void> {
    if (!this.#fix) return this.#note(found);
    try {
      await this.#place.temporal.withDeadline(Date.now() + MEND_MS, mend);
      this.#note(found, true);
    } catch (error) {
      this.#note({ ...found, reason: `${found.reason}; mending it failed: ${reasonOf(error)}` });
    }
  }

  #note(found: Finding, fixed = false): void {
    const { found: counts, fixed: fixes, findings } = this.#result;
    counts[found.kind] = (counts[found.kind] ?? 0) + 1;
    if (fixed) fixes[found.kind] = (fixes[found.kind] ?? 0) + 1;
    else findings.push(found);
  }
}

function isOpen({ status }: Description): boolean {
  return status.name === 'RUNNING' || status.name === 'PAUSED';
}

function finding(kind: FindingKind, { mchid, out_insurance_no }: PolicyOf, reason: string): Finding {
  return { kind, mchid, out_insurance_no, reason };
}

type Pending = NonNullable<Description['raw']['pendingActivities']>[number];

/** It could have run since `before`, and nobody has taken it. */
function waits({ state, scheduledTime }: Pending, before: number): boolean {
  const { PENDING_ACTIVITY_STATE_SCHEDULED } = proto.temporal.api.enums.v1.PendingActivityState;
  const since = Number(scheduledTime?.seconds ?? 0) * 1000;
  return state === PENDING_ACTIVITY_STATE_SCHEDULED && since > 0 && since < before;
}
