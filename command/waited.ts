import type { PolicyClient } from '../client/policy_client.ts';
import type { PolicyId } from '../client/start_operation.ts';
import type { Answer, Status } from '../workflows/messages.ts';

/** The line about a message that was taken; `status` where it was waited for. */
export function answerLine(policy: PolicyId, { outcome, revision }: Answer, status: Status | undefined): string {
  return `${policy.mchid}/${policy.out_insurance_no}: ${outcome}, revision ${revision}${ofWechatPay(status)}`;
}

function ofWechatPay(status: Status | undefined): string {
  if (!status) return '';
  if (status.sync !== 'DIVERGED') return ', WeChat Pay holds it';
  return `, WeChat Pay holds otherwise in ${status.diverged.join(', ')} (DIVERGED)`;
}

/** With `--wait`: the status once WeChat Pay holds the revision. */
export async function waited(
  client: PolicyClient,
  policy: PolicyId,
  revision: number,
  { wait, timeout }: { wait?: boolean; timeout?: number },
): Promise<Status | undefined> {
  if (!wait) return undefined;
  const { waitSynced } = await import('../client/wait.ts');
  return waitSynced(client, policy, revision, { timeout });
}
