import type { SearchAttributePair, SearchAttributeUpdatePair } from '@temporalio/common';
import { setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import { todoOf } from '../policy/blocks.ts';
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

/** A run that was refused is no policy's: nothing of it waits to be synced. */
export function showRefused(): void {
  const { sync } = SEARCH_ATTRIBUTES;
  if (workflowInfo().typedSearchAttributes.get(sync) !== undefined)
    upsertSearchAttributes([{ key: sync, value: null }]);
}

function comparable(value: unknown): string {
  return value instanceof Date ? value.toISOString() : String(value ?? '');
}

/** The current details of the workflow in the UI: a short table, computed on demand, at no event. */
export function showDetails({ block, ...status }: Status): void {
  const rows: [string, string][] = [
    ['State', status.state],
    ['Sync', `${status.sync} (revision ${status.synced_revision} of ${status.revision})`],
    ['Due next', status.next ? `${status.next.what} at ${timeForPeople(status.next.at)}` : 'nothing'],
    ['On hold since', status.on_hold_since && timeForPeople(status.on_hold_since)],
    ['Blocked', block && `${block.code}: ${block.message}`],
    ['Since', block && timeForPeople(block.at)],
    ['What to do', block && todoOf(block.code)],
    ['Request-ID', block?.request_id],
    ['Unverified answer', status.unverified?.code],
    ['Differs', status.diverged.join(', ')],
    ['Attention', status.attention.join(', ')],
  ].filter((row): row is [string, string] => Boolean(row[1]));
  // The UI sets no space between columns.
  setCurrentDetails(
    ['| | |', '|---|---|', ...rows.map(([name, value]) => `| ${name}\u00a0 | ${cell(value)} |`)].join('\n'),
  );
}

/** Words of WeChat Pay's in a table of Markdown. */
function cell(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/[\\|`*_[\]<>~#]/g, '\\$&');
}
