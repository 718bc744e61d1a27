// A strict TypeScript project that uses every entry, and the client's own package; its libraries are checked too.
import assert from 'node:assert/strict';
import {
  connectPolicyClient,
  InvalidSetting,
  type PolicyClient,
  type PolicyId,
  PolicyRefused,
  type RecordInput,
  ServerUnreachable,
  type Status,
  waitSynced,
} from 'wechatpay-policy-sync';
import { COMMAND_SCHEMAS, type CommandInput, parse, RuleViolation, recordSchema } from 'wechatpay-policy-sync/policy';
import { startSandbox } from 'wechatpay-policy-sync/sandbox';
import { type Merchant, RefusedError, WechatPay } from 'wechatpay-policy-sync/wechatpay';
import { readSettings, SettingsError, startWorker, type WorkerOptions } from 'wechatpay-policy-sync/worker';
import { connectPolicyClient as connectByClient } from 'wechatpay-policy-sync-client';

export async function issue(policies: PolicyClient, record: RecordInput, policy: PolicyId): Promise<Status> {
  await policies.openPolicy(record, { event_id: 'opened' });
  const approval: CommandInput<'approve'> = { policy_code: 'P-1', version: 1 };
  const { revision } = await policies.approve(policy, approval);
  return waitSynced(policies, policy, revision, { timeout: 10_000 });
}

export function embedded(options: WorkerOptions): ReturnType<typeof startWorker> {
  return startWorker(options);
}

export function clientOf(merchant: Merchant): WechatPay {
  return new WechatPay(merchant, { timeout: 5_000 });
}

// @ts-expect-error an approval carries the insurer's number
export const incomplete: CommandInput<'approve'> = { event_id: 'issue-1' };

assert.throws(() => parse(recordSchema, { mchid: '1' }), RuleViolation);
assert.equal(parse(COMMAND_SCHEMAS.cancel, {}).cause, 'SURRENDER');
assert.throws(() => readSettings({}), SettingsError);
assert.ok(typeof startSandbox === 'function' && RefusedError.prototype instanceof Error);
assert.ok(PolicyRefused.prototype instanceof Error);
for (const connect of [connectPolicyClient, connectByClient])
  await assert.rejects(
    async () => connect({ env: { POLICY_SYNC_KEYS: '' } }),
    ({ message }: Error) => message.startsWith('POLICY_SYNC_KEYS'),
  );
await assert.rejects(connectPolicyClient({ env: { POLICY_SYNC_KEYS: '' } }), InvalidSetting);
const nobody = { TEMPORAL_ADDRESS: '127.0.0.1:9' };
await assert.rejects(connectPolicyClient({ env: nobody, connectTimeout: 500 }), ServerUnreachable);
