import { setTimeout as delay } from 'node:timers/promises';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import { LANDING } from '../policy/landing.ts';
import { workflowIdOf } from '../policy/workflow_id.ts';
import type { Storage } from '../storage/connection.ts';
import {
  closeErasure,
  emptyCommands,
  emptyDiscrepancies,
  emptyRecord,
  mayLand,
  noteErasure,
  type Standing,
  standingOf,
} from '../storage/erasure.ts';
import { codeOf, GRPC } from './grpc.ts';
import { describePolicy, isOpen, type PolicyOf } from './policy_workflows.ts';

/** A workflow that is told to stop lets its call end, and records that for half a minute at most; then it is ended by force. */
const STOP_MS = 45_000;
/** An attempt of a workflow that was ended by force goes on for so long, and may write. */
const ATTEMPT_MS = 21_000;
/** One that stopped has awaited its calls; a record beside them may take so long. */
const RECORD_MS = 11_000;
const LOOK_MS = 200;

/** What was erased. */
export interface Erased extends Pick<PolicyOf, 'mchid' | 'out_insurance_no'> {
  erased_at: Date;
  /** Of MongoDB: how many had personal values taken out, or had none. */
  commands: number;
  discrepancies: number;
  /** Of Temporal: how many were deleted. */
  runs: number;
}

/** Why a policy is not erased unless it is forced. */
export type NotErased = 'unknown' | 'elsewhere' | 'in-force' | 'on-its-way';

export interface ErasureOptions {
  /** Who has it done: kept. */
  by: string;
  /** Whatever `refusalOf` says. */
  force?: boolean;
  /** How long Temporal is given to delete the runs, in ms. */
  patience: number;
  /** Gives it up between two looks at Temporal; the same again goes on. */
  signal?: AbortSignal;
  /** Told of each step, in words. */
  progress?: (step: string) => void;
}

export interface ErasurePlace {
  temporal: Client;
  storage: Storage;
}

/** A policy that is not to be erased. */
export class ErasureRefused extends Error {
  override readonly name = 'ErasureRefused';
  readonly why: NotErased;

  constructor(_id: string, why: NotErased) {
    super(`${_id} ${REASONS[why]}`);
    this.why = why;
  }
}

const REASONS: Record<NotErased, string> = {
  unknown:
    'has no record: there is nothing to erase; where its workflow runs, `policy-sync audit --fix` makes the record',
  elsewhere: 'is kept by another Temporal namespace: set TEMPORAL_NAMESPACE to the one that its record names',
  'in-force':
    'is in force: cancel it first, or erase it all the same with --force; WeChat Pay then keeps its copy as it is',
  'on-its-way':
    'is not in step with WeChat Pay, or a call of the last quarter of an hour may still take effect there: see `policy-sync show`, wait, or erase it all the same with --force',
};

/** Temporal has not deleted all runs in time. The same again goes on. */
export class ErasureUnfinished extends Error {
  override readonly name = 'ErasureUnfinished';

  constructor(_id: string, runs: number) {
    super(`${_id}: Temporal has ${runs} of its runs still to delete; MongoDB is done: run the same again`);
  }
}

/**
 * Erases the personal data of a policy everywhere, and ends its sync for good. Its number stays used, and what is not personal
 * stays. It may be killed at any point, and done again: it goes on.
 * @throws {ErasureRefused} before anything is changed; {ErasureUnfinished}; StorageError, ServiceError when a server does not answer;
 * an AbortError by the signal
 */
export async function erase(place: ErasurePlace, policy: PolicyOf, options: ErasureOptions): Promise<Erased> {
  const { storage, temporal } = place;
  const { _id, mchid, out_insurance_no } = policy;
  const { by, patience, signal, progress = () => {} } = options;
  signal?.throwIfAborted();
  const { revision, erased } = await recordEmptied(place, _id, { force: options.force ?? false, progress });
  progress('ending its workflow');
  await ended(temporal, policy, signal);
  progress('emptying commands and discrepancies');
  const commands = await emptyCommands(storage, _id);
  const discrepancies = await emptyDiscrepancies(storage, _id);
  await noteErasure(storage, { policy: _id, mchid, by, revision, at: erased.at });
  progress('waiting for Temporal to delete its runs');
  const runs = await runsDeleted(temporal, policy, { patience, signal });
  await closeErasure(storage, _id);
  return { mchid, out_insurance_no, erased_at: erased.at, commands, discrepancies, runs };
}

/** The record, emptied by this erasure or by one before. */
async function recordEmptied(
  { storage, temporal }: ErasurePlace,
  _id: string,
  { force, progress }: { force: boolean; progress: (step: string) => void },
): Promise<Standing & Required<Pick<Standing, 'erased'>>> {
  for (;;) {
    const standing = await standingOf(storage, _id);
    const { namespace = temporal.options.namespace } = standing ?? {};
    if (namespace !== temporal.options.namespace) throw new ErasureRefused(_id, 'elsewhere');
    if (standing?.erased) return { ...standing, erased: standing.erased };
    const why = await refusalOf(storage, standing);
    if (!standing || (why && !force)) throw new ErasureRefused(_id, why ?? 'unknown');
    progress('emptying the record');
    // Something was written meanwhile: it is decided anew.
    await emptyRecord(storage, standing);
  }
}

async function refusalOf(storage: Storage, standing: Standing | null): Promise<NotErased | undefined> {
  if (!standing) return 'unknown';
  const { _id, policy_state, revision, synced_revision, sync, end } = standing;
  if (policy_state === 'POLICY_STATE_ISSUING' || policy_state === 'POLICY_STATE_APPROVED') return 'in-force';
  if (end !== null) return undefined;
  // WeChat Pay may show it in force, or come to do so, and nobody looks again.
  const isBehind = sync !== 'SYNCED' || synced_revision < revision;
  return isBehind || (await mayLand(storage, _id, LANDING)) ? 'on-its-way' : undefined;
}

/** Once no workflow of the policy runs, and no attempt of one may write any more. */
async function ended(temporal: Client, policy: PolicyOf, signal: AbortSignal | undefined): Promise<void> {
  const handle = temporal.workflow.getHandle(workflowIdOf(policy.mchid, policy.out_insurance_no));
  const found = await describePolicy(temporal, policy);
  if (!found) return;
  if (isOpen(found)) {
    // One that is paused does not hear of it.
    if (found.status.name === 'RUNNING') await orGone(handle.cancel());
    const until = Date.now() + (found.status.name === 'RUNNING' ? STOP_MS : 0);
    while (Date.now() < until && (await describePolicy(temporal, policy).then((now) => now && isOpen(now))))
      await delay(LOOK_MS, undefined, { signal });
    const last = await describePolicy(temporal, policy);
    if (last && isOpen(last)) await orGone(handle.terminate('its policy is erased'));
  }
  const last = await describePolicy(temporal, policy);
  const { status, closeTime } = last ?? {};
  const byForce = status?.name === 'TERMINATED' || status?.name === 'TIMED_OUT';
  const writes = byForce ? ATTEMPT_MS : status?.name === 'CANCELLED' ? RECORD_MS : 0;
  const left = closeTime ? closeTime.getTime() + writes - Date.now() : 0;
  if (left > 0) await delay(left, undefined, { signal });
}

/** @returns how many runs there were */
async function runsDeleted(
  temporal: Client,
  policy: PolicyOf,
  { patience, signal }: Pick<ErasureOptions, 'patience' | 'signal'>,
): Promise<number> {
  const workflowId = workflowIdOf(policy.mchid, policy.out_insurance_no);
  const { workflowService, options } = temporal;
  const asked = new Set<string>();
  for (const until = Date.now() + patience; ; await delay(LOOK_MS, undefined, { signal })) {
    const runs = await runsOf(temporal, policy);
    if (runs.length === 0) return asked.size;
    for (const runId of runs.filter((run) => !asked.has(run))) {
      const workflowExecution = { workflowId, runId };
      await orGone(workflowService.deleteWorkflowExecution({ namespace: options.namespace, workflowExecution }));
      asked.add(runId);
    }
    if (Date.now() > until) throw new ErasureUnfinished(policy._id, runs.length);
  }
}

/** Temporal's visibility, which lags behind, may lack the last. */
async function runsOf(temporal: Client, policy: PolicyOf): Promise<string[]> {
  const runs = new Set<string>();
  const query = `WorkflowId = '${workflowIdOf(policy.mchid, policy.out_insurance_no)}'`;
  for await (const { runId } of temporal.workflow.list({ query })) runs.add(runId);
  const last = await describePolicy(temporal, policy);
  if (last) runs.add(last.runId);
  return [...runs];
}

/** What is gone already needs no more. */
async function orGone(asked: Promise<unknown>): Promise<void> {
  try {
    await asked;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError || codeOf(error) === GRPC.NOT_FOUND) return;
    throw error;
  }
}
