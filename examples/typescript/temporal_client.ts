// Opens a policy from a record, approves it, and cancels it: by @temporalio/client alone, with our payload codec.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Connection, WithStartWorkflowOperation, type WorkflowHandle } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { type Answer, dataConverter, parseKeys, type RecordInput, type Status } from 'wechatpay-policy-sync-client';

const PATIENCE_MS = 60_000;

async function connect(): Promise<Client> {
  const { connectionOptions, namespace } = loadClientConnectConfig(); // TEMPORAL_*
  const { POLICY_SYNC_KEYS, POLICY_SYNC_ALLOW_PLAIN } = process.env;
  const converter = dataConverter(parseKeys(POLICY_SYNC_KEYS), { allowPlain: POLICY_SYNC_ALLOW_PLAIN === '1' });
  const connection = await Connection.connect(connectionOptions);
  return new Client({ connection, namespace, dataConverter: converter });
}

async function live(temporal: Client, json: string, policy_code: string): Promise<void> {
  const record: RecordInput = JSON.parse(json);
  const { out_insurance_no: number } = record.policy;
  const workflowId = `policy/${record.mchid}/${number}`;
  const digest = createHash('sha256').update(json).digest('hex');
  // The same record again answers the same; another for the same number is refused.
  const opened: Answer = await temporal.workflow.executeUpdateWithStart('open', {
    args: [{ digest }],
    updateId: digest,
    startWorkflowOperation: new WithStartWorkflowOperation('policyLifecycle', {
      workflowId,
      taskQueue: 'policy-sync',
      args: [record, { digest }],
      workflowIdConflictPolicy: 'USE_EXISTING',
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
    }),
  });
  const policy = temporal.workflow.getHandle(workflowId);
  await synced(policy, number, 'opened', opened);

  // The insurer has taken the risk. An event_id makes the message safe to send twice.
  const approval = { policy_code, event_id: `approve-${number}` };
  const approved: Answer = await policy.executeUpdate('approve', { args: [approval] });
  await synced(policy, number, 'approved', approved);

  // The user surrenders. A signal needs no worker to be taken, and has no answer.
  const surrender = { cause: 'SURRENDER', reason: 'asked for by the user', event_id: `surrender-${number}` };
  await policy.signal('cancel', surrender);
  console.log(`${number} cancelled: signal sent`);
  await until(policy, ({ state, sync }) => state === 'INACTIVE' && sync === 'SYNCED');
}

/** Prints an answer, and waits until WeChat Pay holds its revision. */
async function synced(policy: WorkflowHandle, number: string, what: string, { outcome, revision }: Answer) {
  console.log(`${number} ${what}: ${outcome}, revision ${revision}`);
  await until(policy, ({ synced_revision }) => synced_revision >= revision);
}

/** Asks for the status until it is as wanted, or waits for a person. */
async function until(policy: WorkflowHandle, done: (status: Status) => boolean): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await delay(500)) {
    const status = await policy.query<Status>('status');
    const { out_insurance_no: number, state, sync, block } = status;
    if (done(status)) return console.log(`${number} is ${state}, ${sync}`);
    if (sync === 'BLOCKED' && block) throw new Error(`${number} is BLOCKED: ${block.code} ${block.message}`);
    if (sync === 'DIVERGED' || sync === 'STOPPED') throw new Error(`${number} is ${sync}: see its status`);
  }
  throw new Error(`${policy.workflowId} is not with WeChat Pay yet; it goes on: see its status`);
}

/** A refusal is an ApplicationFailure whose type is the broken rule. */
function explained(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (cause instanceof ApplicationFailure) return `${cause.message} (${cause.type})`;
  return cause instanceof Error ? cause.message : String(cause);
}

const [file, policyCode] = process.argv.slice(2);
if (!file || !policyCode) {
  console.error('usage: tsx temporal_client.ts RECORD.json POLICY_CODE');
  process.exit(2);
}
try {
  const json = await readFile(file, 'utf8');
  const temporal = await connect();
  await live(temporal, json, policyCode).finally(() => temporal.connection.close());
} catch (error) {
  console.error(`error: ${explained(error)}`);
  process.exitCode = 1;
}
