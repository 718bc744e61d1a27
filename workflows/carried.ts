import type { RestoredRecord } from '../activities/types/results.ts';
import type { OwedAttempts } from '../activities/types/snapshot.ts';
import type { Life } from '../policy/life.ts';
import type { PolicyFields, PolicyRecord } from '../policy/record.ts';
import { refuse } from '../policy/violation.ts';
import type { Announced } from './events.ts';
import type { Received } from './inbox.ts';
import type { Journaled } from './journal.ts';
import type { Parts } from './parts.ts';
import { ASK_ANEW } from './reconciler/desired.ts';
import type { Standing } from './reconciler/standing.ts';

/** Raised when the shape of `Carried` changes; `fromCarried` then gets a converter from the former one. */
const FORMAT = 3;

/** Everything that one run hands to the next, and a stopped life to the one that restarts it. */
export interface Carried {
  format: typeof FORMAT;
  life: Life;
  standing: Standing;
  received: Received;
  digest: string | null;
  /** The first run of this life, which MongoDB knows it by. */
  life_id: string;
  /** Raised with each activity scheduled; never begins again. */
  step: number;
  /** Which host the next call goes to first. */
  host: number;
  /** MongoDB has not got the latest snapshot. */
  owes_record: boolean;
  /** Who did what, as far as MongoDB may not know it. */
  journal: Journaled;
  /** Attempts that MongoDB has not got. */
  owed: OwedAttempts[];
  /** Id of the payload key that encrypts, as last seen; absent before any was. */
  payload_key?: string;
  /** The worker's log was told that the policy is out of step, and not yet that it is back. */
  out_of_step?: true;
  /** What others are told of; absent from runs of an older build. */
  events?: Announced;
}

/** Format 1 knew no drifts, no journal and no owed attempts. */
type Carried1 = Omit<Carried2, 'format' | 'journal' | 'owed'> & { format: 1; standing: Omit<Standing2, 'drifts'> };
/** Format 2 knew what was changed before the first answer only. */
type Standing2 = Omit<Standing, 'changed'> & { changed_before?: string[] };
type Carried2 = Omit<Carried, 'format' | 'standing'> & { format: 2; standing: Standing2 };

function fromFormat1(carried: Carried1): Carried2 {
  const standing = { ...carried.standing, drifts: {} };
  return { ...carried, format: 2, standing, journal: { entries: [], count: 0, confirmation: null }, owed: [] };
}

function fromFormat2(carried: Carried2): Carried {
  const { changed_before: changed = [], ...standing } = carried.standing;
  return { ...carried, format: FORMAT, standing: { ...standing, changed } };
}

/** What one run hands to the next. */
export function carriedOf({ position, inbox, outbox, calls, transitions, digest }: Parts): Carried {
  return {
    format: FORMAT,
    life: position.life,
    standing: position.standing,
    received: inbox.received,
    digest,
    life_id: outbox.lifeId,
    step: outbox.step,
    host: calls.host,
    owes_record: outbox.owesRecord || outbox.recording,
    journal: outbox.journal.state,
    owed: outbox.debts.owed,
    ...(calls.payloadKey !== undefined && { payload_key: calls.payloadKey }),
    ...(transitions.outOfStep && { out_of_step: true }),
    ...(outbox.events.state.wanted && { events: outbox.events.state }),
  };
}

/** State of any format that was ever handed on, in the present one. */
export function fromCarried(value: unknown): Carried {
  const carried = value as Carried;
  if (typeof carried?.format !== 'number')
    refuse('carried', 'options.carried is made by the workflow only; leave it out');
  // A bug or an older worker, not the policy's fault: the task is retried until a worker that knows it comes.
  if (carried.format > FORMAT) throw new Error(`state of format ${carried.format}: a newer worker is needed`);
  const former = value as Carried1 | Carried2;
  if (former.format === 1) return fromFormat2(fromFormat1(former));
  return former.format === 2 ? fromFormat2(former) : carried;
}

/** What a snapshot carries beside what MongoDB keeps by itself: the record, WeChat Pay's answer, what was found and done. */
export function withoutRecord(carried: Carried): unknown {
  const { record: _record, ...life } = carried.life;
  const { confirmed: _confirmed, discrepancies: _told, ...standing } = carried.standing;
  return { ...carried, life, standing, journal: { ...carried.journal, entries: [] } };
}

/** The reverse, from what MongoDB kept. */
export function withRecord(carried: Carried, record: PolicyRecord, confirmed: PolicyFields | null): Carried {
  const standing = { ...carried.standing, confirmed, discrepancies: [] };
  return { ...carried, life: { ...carried.life, record }, standing };
}

/**
 * What a life that restarts begins from. Whatever was known is old by now: it begins with a GET, and nothing in it is taken for ours by
 * chance. Its record lags where no workflow wrote its end; that of a life that lagged itself does so until an answer has come.
 */
export function restarted(
  former: Carried,
  { record, remote, revision, end }: Pick<RestoredRecord, 'record' | 'remote' | 'revision' | 'end'>,
): Carried {
  const carried = withRecord(former, record, remote);
  const lagging = end === null || carried.standing.lagging === true;
  const anew = { ...ASK_ANEW, not_before: 0, revision, lagging };
  return { ...carried, standing: { ...carried.standing, ...anew } };
}
