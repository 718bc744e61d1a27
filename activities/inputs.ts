import type { PolicyFields, PolicyRecord } from '../policy/record.ts';

/**
 * Every input carries it: calls run on queues without versions, so a worker of another build may get them. It is
 * raised when a worker of the former format could not do right by an input of the new one.
 */
export const FORMAT = 1;

/** What MongoDB should hold of a policy, as the workflow knows it when it schedules the activity. Times: epoch ms. */
export interface Snapshot {
  mchid: string;
  out_insurance_no: string;
  /** The first run of this life; a restarted policy is another life. */
  life: string;
  record: PolicyRecord;
  sync: string;
  revision: number;
  synced_revision: number;
  /** Raised with each activity scheduled. The outcome of a call is written with `step + 1`. */
  step: number;
  block: { code: string; message: string; request_id?: string; at: string } | null;
  attention: string[];
  due: { what: string; at: number } | null;
  /** The last version of the source system that was accepted. */
  version: number | null;
  digest: string | null;
  window: string;
  cancellation: { cause: string; at: number } | null;
  opened_at: number;
  /** JSON text that a restart gives back to the workflow; the workflow's own matter, sealed at rest. */
  carried: string;
  /** What verifications found, and what became of it by now; written once each, later states over earlier ones. */
  discrepancies: Discrepancy[];
  /** What came in since MongoDB is known to have heard; written once each. Absent from workflows of an older build. */
  commands?: CommandEntry[];
  /** What WeChat Pay confirmed since then. */
  confirmation?: Confirmation | null;
  /** Attempts that MongoDB could not take when they were made. */
  owed?: OwedAttempts[];
  /** The policy as WeChat Pay last showed it, of the fields that are ours, where MongoDB did not take that answer. */
  answer?: { policy: PolicyFields; at: number };
}

/** Something that changed the policy, or was refused without an answer. Times: epoch ms. */
export interface CommandEntry {
  /** Unique over all lives of the policy. */
  id: string;
  /** `open`, `cancel`, …; `due:expiry`, … for what came due of itself. */
  command: string;
  by?: string;
  event_id?: string;
  version?: number;
  cause?: string;
  reason?: string;
  /** RFC 3339: when it counts, where that is another time than when it came. */
  business_date?: string;
  /** The rule by which it was refused. */
  rule?: string;
  /** Fields of the policy that it changed. */
  before: PolicyFields;
  after: PolicyFields;
  /** The revision that it made, or found. */
  revision: number;
  at: number;
}

/** WeChat Pay holds this revision, and all before it. */
export interface Confirmation {
  revision: number;
  at: number;
  /** Of the answer that showed it. */
  request_id?: string;
}

export interface Discrepancy {
  /** Unique in the policy's life. */
  id: string;
  field: string;
  ours: unknown;
  theirs?: unknown;
  /** Epoch ms. */
  found_at: number;
  kind: 'drift' | 'state' | 'not-taken' | 'unreadable' | 'adopt' | 'absent';
  /** `contested`: reported, and not pushed, for it drifts back again and again. */
  became: 'healing' | 'healed' | 'reported' | 'contested' | 'adopted';
}

/** Attempts of one activity that MongoDB did not take, all so far. */
export interface OwedAttempts {
  workflow_run: string;
  activity_id: string;
  count: number;
  last_code?: string;
  last_request_id?: string;
}

/**
 * Details of a call's heartbeat: attempts of it that MongoDB did not take. The server hands them from attempt to attempt,
 * and with the failure of a call whose worker died to the workflow, at no event; there is no heartbeat time-out that they
 * could set off.
 */
export interface OwedSoFar extends Omit<OwedAttempts, 'workflow_run' | 'activity_id'> {
  /** How many of them MongoDB has been told of since. */
  told: number;
}

export function isOwedSoFar(details: unknown): details is OwedSoFar {
  return typeof details === 'object' && details !== null && 'count' in details && 'told' in details;
}

/** Input of `query`, `push` and `upload`. */
export interface CallInput {
  format: typeof FORMAT;
  snapshot: Snapshot;
  /** What a push or an upload carries, names in the clear. */
  fields?: PolicyFields;
  /** Personal values that WeChat Pay may hold and the record has no more: to be cut out of what it says, too. */
  known?: PolicyFields[];
  /** Nothing is sent before so many ms after the activity was scheduled; absent or 0: at once. */
  delay?: number;
  /**
   * An attempt without effect so many ms (or more) after the activity was scheduled returns `waiting`, so that RETRYING
   * shows. Measured on the server's clock (`currentAttemptScheduledTimestampMs - scheduledTimestampMs`), as all spans
   * of an activity are: the worker's clock may be off, and on the time-skipping server it is by years.
   */
  alert_after?: number;
  /** Which host the first attempt goes to; attempts take them in turn. */
  host: number;
}

/** Input of `verify`: lives for as long as nothing is found. */
export interface VerifyInput {
  format: typeof FORMAT;
  snapshot: Snapshot;
  /** What WeChat Pay is known to hold of the fields that are ours; anything else is a finding. */
  expected: PolicyFields;
  /** WeChat Pay is known not to have the policy: its appearance is the finding. */
  expect_absent?: boolean;
  /** Fields that nobody could open when last seen. */
  unreadable: string[];
  /** WeChat Pay is known to refuse this GET: that it answers is the finding. */
  refused?: boolean;
  /**
   * How long ago WeChat Pay confirmed it, or began to say that it has none, in ms, when the activity was scheduled: verifications come soon after, then
   * further and further apart. The age of an attempt is this and the time since the activity was scheduled.
   */
  age: number;
  /** The longest time between two, in ms. */
  every: number;
  /**
   * An attempt of ours may still land for so many ms after the activity was scheduled: the first answer after that is told,
   * whatever it shows. Absent where none may.
   */
  settles_in?: number;
  /** Id of the payload key of the workflow's run; another active key is a finding, for the run to be made anew. */
  payload_key?: string;
}

interface Recorded {
  /** False when MongoDB did not take the record: the workflow owes it. */
  recorded: boolean;
  /** Id of the payload key that encrypts now. */
  payload_key?: string;
  request_id?: string;
  /** Attempts of this activity, this one among them, that MongoDB has not got. */
  owed?: OwedAttempts;
}

/** 2xx, signature verified, for the number asked. */
export interface Confirmed extends Recorded {
  outcome: 'confirmed';
  policy: PolicyFields;
  /** Fields whose sealed values no key of ours opens. */
  unreadable: string[];
  /** Epoch ms. */
  at: number;
}

/** A signed refusal. `message` has every value sent cut out of it. */
export interface Refused extends Recorded {
  outcome: 'refused';
  status: number;
  code: string;
  message: string;
}

/** It may or may not have taken effect; a PATCH or POST only, GETs are retried. */
export interface Unknown extends Recorded {
  outcome: 'unknown';
  code: string;
  status?: number;
  /** What an answer says that proves nothing, with every value sent cut out of it. */
  message?: string;
}

/** Certainly without effect so far. */
export interface Waiting extends Recorded {
  outcome: 'waiting';
  code: string;
  /** Requests of this activity, so far all without effect. Absent where none was made. */
  attempts?: number;
  /** `Retry-After` asks for a wait beyond `alert_after`, which is not over yet. Absent: it is. */
  early?: true;
  /** The next call is to be made in so many ms, and not before, unless something else is wanted. Absent: at once. */
  wait?: number;
}

/** The active payload key is another than the run's. */
export interface KeyChanged extends Recorded {
  outcome: 'key-changed';
}

/** MongoDB has greater numbers of the same life, of a run that a reset of Temporal's undid; nothing was sent. */
export interface Behind extends Recorded {
  outcome: 'behind';
  ahead: { revision: number; step: number };
}

export type CallResult = Confirmed | Refused | Unknown | Waiting | Behind;
export type VerifyResult = Confirmed | Refused | KeyChanged | Behind;

export interface RecordInput {
  format: typeof FORMAT;
  snapshot: Snapshot;
  /** The life is over: how it ended. */
  end?: 'DECLINED' | 'INACTIVE' | 'STOPPED';
}

/** A record that a restart begins from. */
export interface RestoredRecord {
  outcome: 'restored';
  record: PolicyRecord;
  /** WeChat Pay's policy as last observed; null when never seen. */
  remote: PolicyFields | null;
  revision: number;
  synced_revision: number;
  step: number;
  version: number | null;
  digest: string | null;
  opened_at: number;
  end: 'DECLINED' | 'INACTIVE' | 'STOPPED' | null;
  /** As it was in the snapshot. */
  carried: string;
}

/** Activities on a merchant's queue `calls/{mchid}`: one attempt is one HTTP request. */
export interface CallActivities {
  /** GET, retried without end. */
  query(input: CallInput): Promise<CallResult>;
  /** PATCH. */
  push(input: CallInput): Promise<CallResult>;
  /** POST. */
  upload(input: CallInput): Promise<CallResult>;
  /** GET, again and again; see `VerifyInput`. */
  verify(input: VerifyInput): Promise<VerifyResult>;
}

/** Activities on the queue `policy-sync`: MongoDB only. */
export interface NotRestored {
  outcome: 'unknown' | 'exists' | 'stopped';
  /** Of `exists`: the Temporal namespace that keeps the policy, where it is another one. */
  namespace?: string;
}

export interface RecordActivities {
  /** Takes the number for this life; the same life again is claimed again. */
  claim(
    input: RecordInput,
  ): Promise<{ outcome: 'claimed' } | { outcome: 'exists'; namespace?: string } | { outcome: 'ended'; end: string }>;
  /** Takes over an ended policy for a new life, a stopped one only by `resume` (`audit` also one whose workflow is lost). */
  restore(input: {
    format: typeof FORMAT;
    mchid: string;
    out_insurance_no: string;
    life: string;
    by: 'reinstate' | 'resume' | 'audit';
    /** A life that is known to be over, though its end was not recorded. */
    over?: string;
  }): Promise<RestoredRecord | NotRestored>;
  /** Writes the snapshot, guarded by revision and step. */
  record(input: RecordInput): Promise<{ payload_key?: string } | Behind>;
}

/** What an audit does: see `policyAudit`. */
export interface AuditInput {
  format: typeof FORMAT;
  /** Restarts what has lost its workflow, and has records made that lack. */
  fix: boolean;
}

/** What came of an audit; the findings themselves are in MongoDB. */
export interface AuditResult {
  /** Records whose policies go on, and running workflows, that were looked at. */
  records: number;
  workflows: number;
  /** Of each kind how many were found, and fixed. */
  found: Record<string, number>;
  fixed: Record<string, number>;
}

/** Activities on the queue `policy-sync` that look at all policies. */
export interface AuditActivities {
  audit(input: AuditInput): Promise<AuditResult>;
}
