import type { RestartedBy } from '../../policy/state.ts';
import type { CallInput, FORMAT, RecordInput, VerifyInput } from './inputs.ts';
import type { Behind, CallResult, NotRestored, RestoredRecord, TellsEvents, VerifyResult } from './results.ts';

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
export interface RecordActivities {
  /** Takes the number for this life; the same life again is claimed again. */
  claim(
    input: RecordInput,
  ): Promise<
    | ({ outcome: 'claimed' } & TellsEvents)
    | { outcome: 'exists'; namespace?: string }
    | { outcome: 'ended'; end: string }
  >;
  /** Takes over an ended policy for a new life, a stopped one only by `resume` (`audit` also one whose workflow is lost). */
  restore(input: {
    format: typeof FORMAT;
    mchid: string;
    out_insurance_no: string;
    life: string;
    by: RestartedBy;
    /** A life that is known to be over, though its end was not recorded. */
    over?: string;
  }): Promise<RestoredRecord | NotRestored>;
  /** Writes the snapshot, guarded by revision and step. */
  record(input: RecordInput): Promise<({ payload_key?: string } & TellsEvents) | Behind>;
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
