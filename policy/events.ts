import type { End, ShortState, Sync } from './state.ts';

/** What systems of the merchant are told of, and in which words. */
export const EVENT_TYPES = {
  'policy.confirmed':
    'WeChat Pay holds all that you want of the policy: another revision of it, or the same again after it was out of step.',
  'policy.window_opened': 'The renewal window is open, and WeChat Pay holds its times.',
  'policy.retrying': 'A change has waited for longer than `retry_alert_after`; it goes on being tried.',
  'policy.blocked': 'WeChat Pay refuses, or something else hinders until a person acts: `code` says what.',
  'policy.diverged':
    'WeChat Pay holds something otherwise, and it is not undone: `accept` or `resume` decides on `fields`.',
  'policy.healed': 'WeChat Pay held `fields` otherwise by no doing of yours, and holds them as you want them again.',
  'policy.attention': 'A person should look at the policy: `marks` names the new reasons.',
  'policy.ended': 'The policy is over, as `end` says, and is kept in step no more.',
} as const;

export type EventType = keyof typeof EVENT_TYPES;

/** What an event says beside how the policy stands; only what its type has. Codes and names of fields, no value. */
export interface EventDetails {
  code?: string;
  /** Of WeChat Pay's answer. */
  request_id?: string;
  fields?: readonly string[];
  marks?: readonly string[];
  end?: End;
}

/** How a policy stood when something happened to it that others wait for. Nothing personal. */
export interface EventEntry extends EventDetails {
  /** Unique over all policies and lives; without a full stop, which parts what is signed. */
  id: string;
  type: EventType;
  /** One more with each event of a policy, over its restarts, too; far more after a reset of its workflow. */
  sequence: number;
  /** Epoch ms. */
  at: number;
  state: ShortState;
  sync: Sync;
  revision: number;
  synced_revision: number;
}

/** How a policy stands, as far as events are told of it. */
export interface Stance {
  state: ShortState;
  sync: Sync;
  revision: number;
  synced_revision: number;
  block: { code: string; request_id?: string } | null;
  diverged: readonly string[];
  attention: readonly string[];
  window: string;
}

/** What was told of a policy last: plain JSON. */
export interface Told {
  synced_revision: number;
  /** How it is out of step, and why; empty where it is not. */
  out: string;
  marks: readonly string[];
  window_open: boolean;
}

export const NOTHING_TOLD: Told = { synced_revision: 0, out: '', marks: [], window_open: false };

const OUT_OF_STEP: Partial<Record<Sync, EventType>> = {
  RETRYING: 'policy.retrying',
  BLOCKED: 'policy.blocked',
  DIVERGED: 'policy.diverged',
};

/** The events between what was told and how the policy stands now, in the order in which they are told, and what is told then. */
export function eventsBetween(told: Told, now: Stance): { events: [EventType, EventDetails][]; told: Told } {
  const { sync, synced_revision, attention: marks } = now;
  const type = OUT_OF_STEP[sync];
  const details = detailsOf(now);
  const isInStep = sync === 'SYNCED';
  const isConfirmed = synced_revision > told.synced_revision;
  // Who is told that it is confirmed takes it to be in step, until told otherwise. A change on its way says nothing of that.
  const before = isConfirmed ? '' : told.out;
  const out = type ? JSON.stringify([sync, details.code, details.fields]) : isInStep ? '' : before;
  const window_open = now.window === 'open' && (told.window_open || isInStep);
  const fresh = marks.filter((mark) => !told.marks.includes(mark));
  const events: [EventType, EventDetails][] = [];
  if (isConfirmed || (isInStep && before !== '')) events.push(['policy.confirmed', {}]);
  if (window_open && !told.window_open) events.push(['policy.window_opened', {}]);
  if (type && out !== before) events.push([type, details]);
  if (fresh.length > 0) events.push(['policy.attention', { marks: fresh }]);
  return { events, told: { synced_revision, out, marks, window_open } };
}

function detailsOf({ sync, block, diverged }: Stance): EventDetails {
  if (sync === 'BLOCKED' && block)
    return { code: block.code, ...(block.request_id !== undefined && { request_id: block.request_id }) };
  return sync === 'DIVERGED' ? { fields: diverged } : {};
}
