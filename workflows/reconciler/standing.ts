import type { Discrepancy } from '../../policy/entries.ts';
import type { PolicyFields } from '../../policy/record.ts';
import type { Block } from '../messages.ts';

/** Who waits for the next call, as a Temporal priority key: 1 is served first. */
export const URGENCY = { user: 1, due: 3, verification: 5 } as const;
export type Urgency = (typeof URGENCY)[keyof typeof URGENCY];

/** Where the policy stands towards WeChat Pay: plain JSON, handed from run to run. Times are epoch ms. */
export interface Standing {
  /** Of the desired record: raised with every change. */
  revision: number;
  /** The last revision that WeChat Pay is known to hold whole. */
  synced_revision: number;
  /** The last answer that verified, of the fields that are ours; null before the first. */
  confirmed: PolicyFields | null;
  confirmed_at: number;
  /** When a GET gave it; 0 where it is the answer to a PATCH. */
  got_at: number;
  /** Fields of that answer which no key opens. */
  unreadable: string[];
  /** WeChat Pay says that it has no such policy. */
  absent: boolean;
  /** When it first did, or again after a person had it asked: how soon it is asked next goes by it. */
  absent_since?: number;
  /** A person accepted that, for ours is over, too. */
  absence_accepted?: true;
  /** The first answer of a life is still to come: `adopt` says what a difference in it means. */
  baseline: boolean;
  /**
   * Fields that a message or a due time changed since WeChat Pay was last known to hold them: what it holds otherwise in
   * them is a change on its way, and `adopt` and `accept` have no say in it.
   */
  changed: string[];
  /** Our state among them is APPROVED again after it was INACTIVE with us: only then does it follow from INACTIVE. */
  revives?: true;
  /** Nothing is sent before a GET has shown where WeChat Pay stands. */
  must_query: boolean;
  /** WeChat Pay refuses the GET itself: nothing can be known before a person acts. */
  query_refused: boolean;
  /** WeChat Pay refuses the GET of a verification; `blocks`: this refusal is what caused the present block. */
  verify_refused?: { blocks: boolean };
  /**
   * Attempts of unknown outcome that may still land, whatever was sent since: what they carried is ours when it shows, and
   * carried again with each PATCH, but for fields that have shown or were sent again by now (`overtaken`).
   */
  unconfirmed: { fields: PolicyFields; at: number; overtaken?: string[] }[];
  /** Values that WeChat Pay refused or did not take, by field, as comparable text: never sent again as they are. */
  refused: Record<string, string>;
  /** A state was among them: which of them was at fault nobody knows. */
  refused_with_state?: true;
  block: Block | null;
  /** What the last answer to a change says that proves nothing; over with one that does. */
  unverified?: Block;
  /** What WeChat Pay holds otherwise and is left so, by field, as comparable text of its value. */
  reported: Record<string, string>;
  /** Of these, what a person accepted so, for the record cannot take WeChat Pay's value. */
  accepted?: string[];
  /** Fields of the first answer that no key opened: `adopt` says what a difference in them means once one does. */
  unseen?: string[];
  /** When each field drifted, of late. */
  drifts: Record<string, number[]>;
  /**
   * Restored from a record that may lag behind what had been accepted: what the first answer shows otherwise may be a later
   * change of ours, so it is reported and not undone.
   */
  lagging?: boolean;
  /** An attempt of the run that a reset ended may go on until then: a call beside it would be that of a second writer. */
  stray_until?: number;
  /** Attempts of unknown outcome in a row. */
  rounds: number;
  /** The next call is not sent before, unless a change comes or somebody waits for its answer. */
  not_before: number;
  /** Since when a change waits; null when none does. */
  waiting_since: number | null;
  /** The wait has been told of (RETRYING). */
  alerted: boolean;
  urgency: Urgency;
  /** Found by verifications and not yet known to be in MongoDB. */
  discrepancies: Discrepancy[];
  /** How many were ever found: numbers their ids. */
  found: number;
}

/** What an answer shows: the policy, and fields of it that no key opens. */
export interface RemoteAnswer {
  policy: PolicyFields;
  unreadable: string[];
}

/** A standing before anything was asked or sent. */
export function newStanding(now: number): Standing {
  return {
    revision: 1,
    synced_revision: 0,
    confirmed: null,
    confirmed_at: 0,
    got_at: 0,
    unreadable: [],
    absent: false,
    baseline: true,
    changed: [],
    must_query: true,
    query_refused: false,
    unconfirmed: [],
    refused: {},
    block: null,
    reported: {},
    drifts: {},
    rounds: 0,
    not_before: 0,
    waiting_since: now,
    alerted: false,
    urgency: URGENCY.user,
    discrepancies: [],
    found: 0,
  };
}
