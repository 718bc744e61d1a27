import type { Unreadable } from '../codec/sealed_fields.ts';

/** What came in of itself or from outside and was looked at, as `commands` keeps it: append-only. */
export interface StoredCommand {
  /** `{_id of the policy}/{id}` */
  _id: string;
  policy: string;
  mchid: string;
  /** `open`, `cancel`, …, or a due time: `due:expiry`. */
  command: string;
  by: string | null;
  event_id: string | null;
  version: number | null;
  business_date: string | null;
  /** The rule by which it was refused; null where it was accepted. */
  rule: string | null;
  /** Fields before and after, personal ones sealed. */
  before: Record<string, unknown>;
  after: Record<string, unknown>;
  revision: number;
  at: Date;
  /** When WeChat Pay confirmed the revision, and by which answer. */
  confirmed_at: Date | null;
  request_id: string | null;
}

export type ReadCommand = StoredCommand & { unreadable: Unreadable[] };
