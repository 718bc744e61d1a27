// Opens a policy from a record, approves it, and cancels it: by the client library.
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type Answer,
  connectPolicyClient,
  type PolicyClient,
  type PolicyId,
  PolicyRefused,
  type RecordInput,
  type Status,
  waitSynced,
} from 'wechatpay-policy-sync-client';

const PATIENCE_MS = 60_000;

async function live(policies: PolicyClient, record: RecordInput, policy_code: string): Promise<void> {
  const opened = await policies.openPolicy(record);
  const { out_insurance_no: number } = opened;
  await synced(policies, opened, 'opened', opened);
  // The insurer has taken the risk. An event_id makes the message safe to send twice.
  const approved = await policies.approve(opened, { policy_code, event_id: `approve-${number}` });
  await synced(policies, opened, 'approved', approved);
  // The user surrenders. A signal needs no worker to be taken, and has no answer; `policies.cancel` has one.
  await policies.cancelBySignal(opened, { reason: 'asked for by the user', event_id: `surrender-${number}` });
  console.log(`${number} cancelled: signal sent`);
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await delay(500)) {
    const status = await policies.status(opened);
    if (status.state === 'INACTIVE') return told(await waitSynced(policies, opened, status.revision));
  }
  throw new Error(`${number} is not cancelled yet; it goes on: see its status`);
}

/** Prints an answer, and waits until WeChat Pay holds its revision. */
async function synced(policies: PolicyClient, policy: PolicyId, what: string, { outcome, revision }: Answer) {
  console.log(`${policy.out_insurance_no} ${what}: ${outcome}, revision ${revision}`);
  told(await waitSynced(policies, policy, revision));
}

function told({ out_insurance_no: number, state, sync }: Status): void {
  console.log(`${number} is ${state}, ${sync}`);
}

const [file, policyCode] = process.argv.slice(2);
if (!file || !policyCode) {
  console.error('usage: tsx policy_life.ts RECORD.json POLICY_CODE');
  process.exit(2);
}
try {
  const record: RecordInput = JSON.parse(await readFile(file, 'utf8'));
  const policies = await connectPolicyClient(); // TEMPORAL_*, POLICY_SYNC_KEYS
  await live(policies, record, policyCode).finally(() => policies.close());
} catch (error) {
  const rule = error instanceof PolicyRefused ? ` (${error.rule})` : '';
  console.error(`error: ${error instanceof Error ? error.message : String(error)}${rule}`);
  process.exitCode = 1;
}
