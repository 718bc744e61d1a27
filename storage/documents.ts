// The documents of MongoDB, by collection: as they rest.
import type { Became, DiscrepancyKind } from '../policy/entries.ts';
import type { EventEntry, EventType } from '../policy/events.ts';
import type { PolicyFields, PolicyRecord } from '../policy/record.ts';
import type { End, PolicyState, Sync } from '../policy/state.ts';

/** What people and reports read of a policy; its workflow is the authority. */
export interface PolicyDocument {
  /** `{mchid}/{out_insurance_no}` */
  _id: string;
  mchid: string;
  out_insurance_no: string;
  /** The desired record. */
  record: PolicyRecord;
  policy_state: PolicyState;
  policy_type: string;
  sync: Sync;
  revision: number;
  synced_revision: number;
  /** Raised with each activity scheduled: `(revision, step)` orders the writes of a policy. */
  step: number;
  /** The policy as WeChat Pay last showed it. */
  remote: PolicyFields | null;
  observed_at: Date | null;
  block: { code: string; message: string; request_id: string | null; at: Date } | null;
  /** Names of the rules that ask for a person. */
  attention: string[];
  due: { what: string; at: Date } | null;
  verified_at: Date | null;
  next_verification_at: Date | null;
  /** The last version of the source system. */
  version: number | null;
  /** Of the record as opened. */
  digest: string | null;
  window: 'none' | 'given' | 'planned' | 'open' | 'closed';
  cancellation: { cause: string; at: Date } | null;
  /** The first run id of the workflow that lives this policy now. No other life may write. */
  life: string;
  /** The run id of the write. */
  workflow_run: string;
  /** The Temporal namespace that keeps the policy; records of before 0.2 lack it. */
  namespace?: string;
  opened_at: Date;
  updated_at: Date;
  end: End | null;
  ended_at: Date | null;
  /** Who wrote the end, where its workflow did not: what that did last may not be on record. */
  ended_by?: 'audit';
  /** Its personal data were erased: all of it since `done_at`. */
  erased?: { at: Date; done_at: Date | null };
  /** The sequence of the last event that `events` was given of the policy; absent before any. */
  last_event?: number;
  /** What the workflow wants back when it restarts from this document; JSON, of no meaning here. */
  carried: unknown;
}

/** How it rests: personal values sealed, and who was taken over by a restart. */
export type StoredPolicy = Omit<PolicyDocument, 'record' | 'remote' | 'carried'> & {
  record: Record<string, unknown>;
  remote: Record<string, unknown> | null;
  carried: unknown;
  /** `end`: as its own workflow wrote it. */
  taken_over?: { life: string; end: End | null; at: Date };
};

/** Which attempt of which activity of which run. One attempt is one HTTP request. */
export interface Attempt {
  workflow_run: string;
  activity_id: string;
  attempt: number;
}

/** Before the request: what is about to be sent. */
export interface CallIntent extends Attempt {
  /** `_id` of the policy. */
  policy: string;
  mchid: string;
  method: string;
  revision: number;
  step: number;
  at: Date;
}

/** After it: what came of it. `null` where there was no answer to take it from. */
export interface CallOutcome extends CallIntent {
  /** A row of the outcome table: confirmed, no-effect, unknown, refused, merchant. */
  outcome: string;
  status: number | null;
  code: string | null;
  request_id: string | null;
  duration_ms: number;
  host: string | null;
}

/** Attempts that could not be recorded while MongoDB was away. */
export interface OwedAttempts extends Omit<Attempt, 'attempt'> {
  policy: string;
  mchid: string;
  /** All of the activity so far, not those since the last summary. */
  count: number;
  last_code: string | null;
  last_request_id: string | null;
  at: Date;
}

/** A document of `calls`: an attempt, of which only the intent may be known, or a summary of owed ones. */
export type Call = { _id: string } & (CallIntent | CallOutcome | OwedAttempts);

/** A document of `commands`: append-only, but for when WeChat Pay confirmed it. `null` where there was nothing to say. */
export interface StoredCommand {
  /** `{_id of the policy}/{id}` */
  _id: string;
  policy: string;
  mchid: string;
  command: string;
  /** Who asked; rests sealed, as it may name a person. */
  by: unknown;
  event_id: string | null;
  version: number | null;
  cause: string | null;
  /** Free text; rests sealed. */
  reason: unknown;
  business_date: string | null;
  rule: string | null;
  /** Personal fields rest sealed. */
  before: Record<string, unknown>;
  after: Record<string, unknown>;
  revision: number;
  at: Date;
  /** When WeChat Pay was known to hold the revision, and the answer that showed it. */
  confirmed_at: Date | null;
  request_id: string | null;
}

/** A document of `discrepancies`; `ours` and `theirs` rest sealed where the field is personal. */
export interface StoredDiscrepancy {
  /** `{_id of the policy}/{id}` */
  _id: string;
  policy: string;
  mchid: string;
  field: string;
  kind: DiscrepancyKind;
  ours?: unknown;
  theirs?: unknown;
  found_at: Date;
  became: Became;
  settled_at: Date | null;
}

/** A document of `merchants`: the calls of a merchant are held, for whatever reason lies with the merchant. */
export interface StoredHold {
  /** The mchid. */
  _id: string;
  /** WeChat Pay's code, or the word for what is wrong: `paused`, `unusable-settings`, … */
  code: string;
  status: number | null;
  request_id: string | null;
  /** One line for people, nothing personal. */
  message: string;
  since: Date;
  /** When its holder last found it so: it says so again and again, for as long as it holds. */
  probed_at: Date;
  /** The process that said so, `pid@host`. */
  held_by: string;
}

/** `no-workflow`: the record's workflow is gone. `terminated`: somebody terminated it. `stopped`: somebody cancelled it.
 * `stop-not-recorded`: the same, unknown to the record. `paused`: somebody paused it, or a call of it. `no-record`: a
 * workflow that the records lack. `stuck`: its workflow task fails over and over. `half-erased`: an erasure has not come to its end.
 * `old-key`: documents are sealed with a payload key that is no longer the first. `not-served`: calls wait in a queue that nobody polls. */
export const FINDING_KINDS = [
  'no-workflow',
  'terminated',
  'stopped',
  'stop-not-recorded',
  'paused',
  'no-record',
  'stuck',
  'half-erased',
  'old-key',
  'not-served',
] as const;

export type FindingKind = (typeof FINDING_KINDS)[number];

/** What an audit found, of a policy or of a queue; nothing personal. */
export interface Finding {
  kind: FindingKind;
  /** null: it is about the queue `policy-sync`, which serves all. */
  mchid: string | null;
  out_insurance_no: string | null;
  /** One line: what is wrong, and what to do. */
  reason: string;
}

/** A document of `findings`: found by the last audit, and not fixed by it. */
export interface StoredFinding extends Finding {
  /** `{kind}/{mchid}/{out_insurance_no}` */
  _id: string;
  /** By the first of the audits that have found it since. */
  since: Date;
  found_at: Date;
}

/** A document of `sweeps`: work that one worker does for all, now and then or for as long as it can. */
export interface StoredSweep {
  /**
   * Old `calls`, `commands`, `discrepancies` and `events` are deleted, `personal` data of policies that ended long ago erased. `relay`:
   * events are delivered.
   */
  _id: 'calls' | 'commands' | 'discrepancies' | 'events' | 'personal' | 'relay';
  /** When a worker last began it, or said that it goes on with it. */
  begun_at: Date;
  /** Who goes on with it. */
  held_by?: string;
}

/** What happened to which policy, as it is told; nothing personal. */
interface Event {
  /** `_id` of the policy. */
  policy: string;
  mchid: string;
  out_insurance_no: string;
  type: EventType;
  /** Rises with each event of the policy. */
  sequence: number;
  at: Date;
  /** What it says beside that; see `docs/events.md`. */
  told: Omit<EventEntry, 'id' | 'type' | 'sequence' | 'at'>;
}

/** A document of `events`; its `_id` is the `webhook-id`. */
export interface StoredEvent extends Event {
  _id: string;
  /** Each endpoint that wants it has a delivery of it. */
  assigned: boolean;
}

/** How far a delivery has come. `failed`: given up, until it is sent again by command. */
export const DELIVERY_STATES = ['waiting', 'delivered', 'failed'] as const;
export type DeliveryState = (typeof DELIVERY_STATES)[number];

/** A document of `deliveries`: an event on its way to an endpoint. */
export interface StoredDelivery extends Event {
  /** `{endpoint}/{event}` */
  _id: string;
  /** By its name. */
  endpoint: string;
  /** `_id` of the event. */
  event: string;
  state: DeliveryState;
  /** How often it was tried. */
  attempts: number;
  /** From when on its days of trying count. */
  since: Date;
  /** Not tried before; an earlier event of the policy goes first all the same. */
  due_at: Date;
  /** Why it was not taken last: a word of ours, or `status 500`. */
  reason?: string;
  tried_at?: Date;
}
