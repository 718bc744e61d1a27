import { type Difference, differences, sameValue, sameWish } from './difference.ts';
import type { CommandEntry, Discrepancy } from './entries.ts';
import { POLICY_FIELDS, UPLOAD_FIELDS } from './fields.ts';
import type { PolicyFields } from './record.ts';
import { instantOf } from './time.ts';

// What was held at a time gone by, from what is kept of a policy. Nothing is guessed: what is kept does not always tell, and a
// field of which it does not is `unknown`.

/** A message or due time, and when WeChat Pay was known to hold what it made. Times: epoch ms. */
export type KeptEntry = CommandEntry & { confirmed_at: number | null };
export type KeptDiscrepancy = Discrepancy & { settled_at: number | null };

/** What is kept of a policy, in any order. Times: epoch ms. */
export interface History {
  entries: readonly KeptEntry[];
  discrepancies: readonly KeptDiscrepancy[];
  opened_at: number;
  /** What we want WeChat Pay to hold now. */
  ours: PolicyFields;
  /** Its last answer, and fields of it that nobody can read; null before the first. */
  theirs: { policy: PolicyFields; at: number; unreadable: readonly string[] } | null;
  /** When it was last found to hold everything as it should. */
  verified_at: number | null;
}

/** The last answer of WeChat Pay's up to a time, of those that are kept. */
export interface LastAnswer {
  /** All answers since then are kept. */
  complete_since: number;
  /** For which revision of ours it was asked, and when; null where none is kept. */
  last: { at: number; revision: number } | null;
}

export interface Held {
  fields: PolicyFields;
  /** Names of the fields of which it is not known what was held. */
  unknown: string[];
}

export interface Seen extends Held {
  /** When WeChat Pay last showed it. */
  seen_at: number;
  /** It said that it has no such policy. */
  absent?: true;
}

/**
 * What we held at a time: every change counts from its business date on, where that is before it came, else from when it came.
 * Null: the policy was not open yet.
 */
export function oursAsOf(history: History, at: number): Held | null {
  if (at < history.opened_at) return null;
  const line = lineOf(history);
  return heldWhere(line, history.ours, (entry) => effective(entry) <= at, at);
}

/**
 * What WeChat Pay was last seen to hold at a time; null where that is not known. Whoever says `undefined` of answers is told where they
 * are needed: then the answer is to be asked for, and this again.
 */
export function theirsAsOf(
  history: History,
  at: number,
  answers: LastAnswer | undefined,
): Seen | null | 'needs-answers' {
  const { theirs } = history;
  if (theirs && theirs.at <= at) {
    const base = { fields: theirs.policy, unknown: [...theirs.unreadable] };
    const verified = history.verified_at ?? 0;
    return overlaid(
      history,
      { ...base, seen_at: verified <= at ? Math.max(theirs.at, verified) : theirs.at },
      theirs.at,
      at,
    );
  }
  const line = lineOf(history);
  // What changed nothing is confirmed without being asked for.
  const told = line.entries.filter((one) => one.command === OPEN || fieldsOf(one).length > 0);
  const anchor = told.filter((one) => one.confirmed_at !== null && one.confirmed_at <= at).at(-1);
  if (!anchor || anchor.confirmed_at === null) return null;
  const since = anchor.confirmed_at;
  const { revision } = anchor;
  const pending = line.entries.filter((entry) => entry.revision > revision && entry.at <= at).flatMap(fieldsOf);
  if (pending.length > 0 && !answers) return 'needs-answers';
  // An answer that came meanwhile may have shown some of what was on its way.
  const { last = null, complete_since = 0 } = answers ?? {};
  const isBlind = complete_since > since || (last !== null && last.at > since && last.revision > revision);
  const held = heldWhere(line, history.ours, (entry) => entry.revision <= revision, since);
  const unknown = new Set([...held.unknown, ...(isBlind ? pending : [])]);
  // What ours has no more, it may hold still: an update empties nothing.
  for (const field of line.entries.flatMap(fieldsOf)) if (!(field in held.fields)) unknown.add(field);
  const seen_at = Math.max(since, last && last.at <= at ? last.at : 0);
  const { fields } = without(held.fields, [...unknown]);
  return overlaid(history, { fields, unknown: [...unknown], seen_at }, since, at);
}

/** Where they differed, as far as both are known. */
export function differencesAsOf(ours: Held, theirs: Seen): Difference[] {
  return differences(ours.fields, theirs.fields, [...ours.unknown, ...theirs.unknown]);
}

/** Entries in the order in which they were accepted. */
interface Line {
  entries: readonly KeptEntry[];
  /** From then on no change is lacking; before it, what older entries made is gone. */
  base: number;
  /** Revisions that no entry made are among them. */
  gaps: boolean;
}

const OPEN = 'open';

function lineOf({ entries, discrepancies }: History): Line {
  const told = entries
    .filter(({ rule }) => rule == null)
    .sort((a, b) => a.revision - b.revision || countOf(a) - countOf(b));
  const line = [
    ...told,
    ...discrepancies.filter(({ became }) => became === 'adopted').map((one) => adoption(one, told)),
  ];
  line.sort((a, b) => a.revision - b.revision || countOf(a) - countOf(b));
  const opened = line[0]?.command === OPEN;
  const confirmed = line.filter(({ confirmed_at }) => confirmed_at !== null).map((one) => one.at);
  const gaps = line.some(({ revision }, index) => index > 0 && revision - (line[index - 1]?.revision ?? 0) > 1);
  return {
    entries: line,
    base: opened ? Number.NEGATIVE_INFINITY : Math.min(Number.POSITIVE_INFINITY, ...confirmed),
    gaps,
  };
}

/** WeChat Pay's value became ours at its first answer, by no message. */
function adoption({ id, field, ours, theirs, found_at }: KeptDiscrepancy, told: readonly KeptEntry[]): KeptEntry {
  const before = told.filter((entry) => entry.at <= found_at).at(-1)?.revision ?? 0;
  const values = { before: ours == null ? {} : { [field]: ours }, after: theirs == null ? {} : { [field]: theirs } };
  return { id, command: 'adopt', ...values, revision: before + 0.5, at: found_at, confirmed_at: null };
}

/** Ids of entries count them, after the last point. */
function countOf({ id }: KeptEntry): number {
  return Number(id.slice(id.lastIndexOf('.') + 1)) || 0;
}

function effective({ at, business_date }: KeptEntry): number {
  return Math.min(at, instantOf(business_date) ?? at);
}

function fieldsOf({ before, after }: KeptEntry): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(isOfPolicy);
}

/** Entries tell of an upload, too, of which WeChat Pay's policy has nothing. */
function isOfPolicy(field: string): boolean {
  return field in POLICY_FIELDS || !(field in UPLOAD_FIELDS);
}

/** The fields after the last of the entries that count, each by itself. */
function heldWhere(
  { entries, base, gaps }: Line,
  now: PolicyFields,
  counts: (entry: KeptEntry) => boolean,
  at: number,
): Held {
  const held: Held = { fields: {}, unknown: [] };
  const isPartial = at < base || (gaps && entries[0]?.command !== OPEN);
  // What nothing tells of any more may have been any field.
  const names = [...Object.keys(isPartial ? { ...POLICY_FIELDS, ...now } : now).filter(isOfPolicy)];
  for (const field of new Set([...names, ...entries.flatMap(fieldsOf)])) {
    // The opening said of every field what it is, also of those that it left out.
    const its = entries.filter((entry) => entry.command === OPEN || field in entry.before || field in entry.after);
    const last = its.findLastIndex(counts);
    const value = last < 0 ? (its[0]?.before ?? now)[field] : its[last]?.after[field];
    // Something changed it that no entry tells of: nobody knows when, nor from which date on.
    const isBroken = its.some((one, index) => {
      const next = its[index + 1];
      return index >= last && !sameWish(field, one.after[field], (next ? next.before : now)[field]);
    });
    const isLost = isBroken || (last < 0 && isPartial);
    if (isLost) held.unknown.push(field);
    else if (value !== undefined) held.fields[field] = value;
  }
  return held;
}

/** What was seen, with what was found to be otherwise after `since`, and what was left so before. */
function overlaid(history: History, seen: Seen, since: number, at: number): Seen {
  const found = history.discrepancies.filter((one) => one.found_at <= at).sort((a, b) => a.found_at - b.found_at);
  // The last answer itself shows what was found before it.
  const isNews = (one: KeptDiscrepancy): boolean =>
    one.found_at > since || (since !== history.theirs?.at && isLeft(history, one, since));
  return found.filter(isNews).reduce((now, one) => withFound(history, now, one, at), seen);
}

/** A difference that was not healed, and that no message has done away with by then. */
function isLeft(history: History, found: KeptDiscrepancy, since: number): boolean {
  const { kind, became } = found;
  return kind !== 'absent' && became !== 'healed' && became !== 'healing' && !isChangedLater(history, found, since);
}

function withFound(history: History, seen: Seen, found: KeptDiscrepancy, at: number): Seen {
  const { field, kind, became, found_at, settled_at, ours, theirs } = found;
  const healed = became === 'healed' && settled_at !== null && settled_at <= at;
  const seen_at = Math.max(seen.seen_at, healed ? settled_at : found_at);
  if (kind === 'absent') return { fields: {}, unknown: [], seen_at, absent: true };
  if (healed || seen.unknown.includes(field)) return { ...seen, seen_at };
  const { fields } = without(seen.fields, [field]);
  const waits = became === 'reported' || became === 'contested';
  const isKnown = kind !== 'unreadable' && ours !== null && (!waits || isLastWord(history, found, at));
  if (!isKnown) return { ...seen, fields, unknown: [...seen.unknown, field], seen_at };
  return { ...seen, fields: theirs == null ? fields : { ...fields, [field]: theirs }, seen_at };
}

/** A message gave ours another value afterwards, which WeChat Pay has confirmed by `until`. */
function isChangedLater({ entries }: History, { field, found_at }: KeptDiscrepancy, until: number): boolean {
  return entries.some(
    (one) =>
      one.at > found_at && fieldsOf(one).includes(field) && one.confirmed_at !== null && one.confirmed_at <= until,
  );
}

/** Nothing has been seen of the field since, or the same: what was left different at the time is different by the last answer, too. */
function isLastWord(
  { theirs, entries }: History,
  { field, found_at, theirs: value }: KeptDiscrepancy,
  at: number,
): boolean {
  if (!theirs || theirs.at <= at) return true;
  const isTouched = entries.some((one) => one.at > found_at && fieldsOf(one).includes(field));
  return !isTouched && !theirs.unreadable.includes(field) && sameValue(field, value, theirs.policy[field]);
}

function without(fields: PolicyFields, names: readonly string[]): { fields: PolicyFields } {
  return { fields: Object.fromEntries(Object.entries(fields).filter(([field]) => !names.includes(field))) };
}
