import type { PolicyFields } from './record.ts';

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

export type DiscrepancyKind = 'drift' | 'state' | 'not-taken' | 'unreadable' | 'adopt' | 'absent';

/** `contested`: reported, and not pushed, for it drifts back again and again. */
export type Became = 'healing' | 'healed' | 'reported' | 'contested' | 'adopted';

/** A field that WeChat Pay holds otherwise than we do, and what became of it by now. */
export interface Discrepancy {
  /** Unique in the policy's life. */
  id: string;
  field: string;
  ours?: unknown;
  theirs?: unknown;
  /** Epoch ms. */
  found_at: number;
  kind: DiscrepancyKind;
  became: Became;
}
