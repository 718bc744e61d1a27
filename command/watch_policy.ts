import { describePolicy } from '../client/pending_call.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import type { PolicyId } from '../client/start_operation.ts';
import { timeForPeople } from '../policy/time.ts';
import type { Look } from './live.ts';
import { type Shown, standingText } from './show_text.ts';

/** One policy, as its workflow and Temporal know it. Nothing personal. */
export function policyLook(client: PolicyClient, policy: PolicyId): () => Promise<Look> {
  let before = '';
  const name = `${policy.mchid}/${policy.out_insurance_no}`;
  return async () => {
    const workflow = await describePolicy(client, policy);
    // One that is paused, or ended long ago, answers no query: Temporal's word is what there is.
    const status = await client.status(policy).catch(() => null);
    const shown: Shown = { ...policy, status, workflow, kept: null };
    const line = lineOf(shown);
    const news = line === before ? [] : [`${timeForPeople(new Date())} ${name}: ${line}`];
    before = line;
    const text = [name, standingText(shown), timeForPeople(new Date())].join('\n\n');
    return { value: { at: new Date(), status, workflow }, text, news };
  };
}

/** All that matters in one line. What is counted up in quiet, as events of a history are, is no news. */
function lineOf({ status, workflow }: Shown): string {
  const pending = workflow?.pending[0];
  const parts = [
    workflow?.status === 'RUNNING' ? '' : workflow?.status,
    status?.state,
    status?.sync,
    status && `revision ${status.revision}, WeChat Pay holds ${status.synced_revision}`,
    status?.block && `blocked by ${status.block.code}`,
    status && status.diverged.length > 0 ? `differs in ${status.diverged.join(', ')}` : '',
    pending && `${pending.activity}: attempt ${pending.attempt}`,
  ];
  return parts.filter(Boolean).join('; ');
}
