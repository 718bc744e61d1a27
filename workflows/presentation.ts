import type { SearchAttributePair, SearchAttributeUpdatePair } from '@temporalio/common';
import { setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import type { Life } from '../policy/life.ts';
import { expiryOf, windowTimes } from '../policy/life.ts';
import { shortState } from '../policy/state.ts';
import { timeForPeople } from '../policy/time.ts';
import { SEARCH_ATTRIBUTES, type Status } from './messages.ts';

/** Search attributes of a policy: what it should be found by. Nothing personal. */
function attributesOf(life: Life, mchid: string, sync: string): SearchAttributeUpdatePair[] {
  const policy = life.record.policy;
  const expires = expiryOf(policy);
  const opens = life.window === 'none' || life.window === 'closed' ? undefined : windowTimes(life.record)?.opens;
  return [
    { key: SEARCH_ATTRIBUTES.state, value: shortState(policy.policy_state) },
    { key: SEARCH_ATTRIBUTES.sync, value: sync },
    { key: SEARCH_ATTRIBUTES.type, value: policy.policy_type },
    { key: SEARCH_ATTRIBUTES.mchid, value: mchid },
    { key: SEARCH_ATTRIBUTES.expires, value: expires === undefined ? null : new Date(expires) },
    { key: SEARCH_ATTRIBUTES.opens, value: opens === undefined ? null : new Date(opens) },
  ];
}

/** Writes the search attributes that have changed: each write is an event, so none is written twice. */
export function showAttributes(life: Life, mchid: string, sync: string): void {
  const shown = workflowInfo().typedSearchAttributes;
  const changed = attributesOf(life, mchid, sync).filter(({ key, value }) => {
    const current = shown.get(key as SearchAttributePair['key']);
    return comparable(current) !== comparable(value);
  });
  if (changed.length > 0) upsertSearchAttributes(changed);
}

function comparable(value: unknown): string {
  return value instanceof Date ? value.toISOString() : String(value ?? '');
}

/** The current details of the workflow in the UI: a short table, computed on demand, at no event. */
export function showDetails(status: Status): void {
  const rows: [string, string][] = [
    ['State', status.state],
    ['Sync', `${status.sync} (revision ${status.synced_revision} of ${status.revision})`],
    ['Due next', status.next ? `${status.next.what} at ${timeForPeople(status.next.at)}` : 'nothing'],
    ...(status.block
      ? [['Blocked', `${status.block.code}, Request-ID ${status.block.request_id ?? 'none'}`] as [string, string]]
      : []),
    ...(status.unverified ? [['Unverified answer', status.unverified.code] as [string, string]] : []),
    ...(status.diverged.length > 0 ? [['Differs', status.diverged.join(', ')] as [string, string]] : []),
    ...(status.attention.length > 0 ? [['Attention', status.attention.join(', ')] as [string, string]] : []),
  ];
  setCurrentDetails(['| | |', '|---|---|', ...rows.map(([name, value]) => `| ${name} | ${value} |`)].join('\n'));
}
