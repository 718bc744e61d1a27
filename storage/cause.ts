import { timeForPeople } from '../policy/time.ts';

/** Why something asks for a person. No personal data. */
export interface Cause {
  /** `STOPPED`, `TERMINATED`, `PAUSED`, …; WeChat Pay's code, or one of ours; the kind of a finding; a mark. */
  code: string | null;
  /** One line. */
  reason: string | null;
  /** RFC 3339, +08:00. */
  since: string | null;
}

export const NO_CAUSE: Cause = { code: null, reason: null, since: null };

export function causeOf(code: string, reason: string | null, since: Date | string | null | undefined): Cause {
  return { code, reason, since: since == null ? null : timeForPeople(since) };
}
