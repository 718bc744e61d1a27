import type { Status } from '../../workflows/messages.ts';
import type { PolicyClient } from '../policy_client.ts';
import type { PolicyId } from '../start_operation.ts';

/** What a line about an accepted message says of WeChat Pay; nothing where it was not waited for. */
export function toldOf(status: Status | undefined): string {
  if (!status) return '';
  if (status.sync !== 'DIVERGED') return ', WeChat Pay holds it';
  return `, WeChat Pay holds otherwise in ${status.diverged.join(', ')} (DIVERGED)`;
}

/** With `--wait`: the status once WeChat Pay holds the revision. */
export async function settled(
  client: PolicyClient,
  policy: PolicyId,
  revision: number,
  { wait, timeout }: { wait?: boolean; timeout?: number },
): Promise<Status | undefined> {
  if (!wait) return undefined;
  const { waitSynced } = await import('../wait.ts');
  return waitSynced(client, policy, revision, { timeout });
}
