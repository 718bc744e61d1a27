import type { CommandEntry, Confirmation, Discrepancy } from '../../policy/entries.ts';
import type { EventEntry } from '../../policy/events.ts';
import type { PolicyFields, PolicyRecord } from '../../policy/record.ts';

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
  /**
   * The run that scheduled the activity; of one that a reset of Temporal's made, and that was not told so yet, the run that it was
   * made of. So the run that the activity belongs to is another one after a reset. Absent from workflows of an older build.
   */
  run?: string;
  /** What happened that others wait for and MongoDB may not have, the oldest first; written once each. */
  events?: EventEntry[];
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
