import type { Command } from 'commander';
import { UnknownPolicy } from '../client/errors.ts';
import { explained } from '../client/explained.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import type { PolicyId } from '../client/start_operation.ts';
import { workflowIdOf } from '../policy/workflow_id.ts';
import type { ReadCommand } from '../storage/commands.ts';
import type { Storage } from '../storage/connection.ts';
import type { ReadDiscrepancy } from '../storage/discrepancies.ts';
import type { Call, StoredDelivery, StoredEvent, StoredFinding } from '../storage/documents.ts';
import type { ReadPolicy } from '../storage/policies.ts';
import { policyOf } from './merchant.ts';
import { type OfPolicy, ofPolicy } from './options.ts';
import { note } from './output.ts';
import { withClient } from './session.ts';
import { withMongodb } from './storage.ts';

/** Everything that is kept about a policy, personal values opened. */
export interface Exported extends PolicyId {
  exported_at: Date;
  /** The document of `policies`; null where MongoDB has none. */
  record: ReadPolicy | null;
  /** The latest first. */
  commands: ReadCommand[];
  calls: Call[];
  discrepancies: ReadDiscrepancy[];
  /** Events that were told of it, and their deliveries, the first first; nothing personal. */
  events: StoredEvent[];
  deliveries: StoredDelivery[];
  /** What the last audit found. */
  findings: StoredFinding[];
  temporal: { workflow_id: string; runs: ExportedRun[] };
}

export interface ExportedRun {
  run_id: string;
  status: string;
  started_at: Date;
  closed_at: Date | null;
  /** Events of its history, which has the messages and answers that made the record. */
  history_length: number;
}

/** All of them. */
const ALL = 0;

export function addExport(program: Command): void {
  ofPolicy(program.command('export <NO>'))
    .description(
      'write all that is kept about a policy as JSON, personal values opened: for the person whom it is about',
    )
    .action(async (number: string, options: OfPolicy) => {
      const policy = await policyOf(number, options.mchid);
      const exported = await withMongodb('export', (storage) =>
        withClient(options, (client) => exportOf(storage, client, policy)),
      );
      const sealed = [exported.record, ...exported.commands, ...exported.discrepancies].filter(
        (one) => one?.unreadable.length,
      );
      if (sealed.length > 0)
        note(`${sealed.length} documents have values that no payload key of this shell opens: see "unreadable"`);
      process.stdout.write(`${JSON.stringify(exported, null, options.json ? undefined : 2)}\n`);
    });
}

async function exportOf(storage: Storage, client: PolicyClient, policy: PolicyId): Promise<Exported> {
  const [{ findPolicy, documentId }, { listCalls }, { listCommands }, { listDiscrepancies }, { toldOf }] =
    await Promise.all([
      import('../storage/policies.ts'),
      import('../storage/calls.ts'),
      import('../storage/commands.ts'),
      import('../storage/discrepancies.ts'),
      import('../storage/told.ts'),
    ]);
  const { mchid, out_insurance_no } = policy;
  const _id = documentId(mchid, out_insurance_no);
  const [record, commands, calls, discrepancies, told, runs] = await Promise.all([
    findPolicy(storage, mchid, out_insurance_no),
    listCommands(storage, _id, ALL),
    listCalls(storage, _id, ALL),
    listDiscrepancies(storage, _id, ALL),
    toldOf(storage, policy),
    runsOf(client, policy),
  ]);
  const workflow_id = workflowIdOf(mchid, out_insurance_no);
  const exported_at = new Date();
  if (!record && runs.length === 0) throw new UnknownPolicy(`${_id}: nothing is kept about such a policy`);
  return {
    mchid,
    out_insurance_no,
    exported_at,
    record,
    commands,
    calls,
    discrepancies,
    ...told,
    temporal: { workflow_id, runs },
  };
}

async function runsOf(
  { temporal, timeout }: PolicyClient,
  { mchid, out_insurance_no }: PolicyId,
): Promise<ExportedRun[]> {
  const runs: ExportedRun[] = [];
  try {
    const query = `WorkflowId = '${workflowIdOf(mchid, out_insurance_no)}'`;
    for await (const { runId, status, startTime, closeTime, historyLength } of temporal.workflow.list({ query }))
      runs.push({
        run_id: runId,
        status: status.name,
        started_at: startTime,
        closed_at: closeTime ?? null,
        history_length: historyLength,
      });
  } catch (error) {
    throw await explained(error, { client: temporal, timeout });
  }
  return runs;
}
