import { BLOCKS } from '../../policy/blocks.ts';
import { comparable, type Difference, differences, sameValue } from '../../policy/difference.ts';
import { LANDING } from '../../policy/landing.ts';
import type { PolicyFields } from '../../policy/record.ts';
import type { Block } from '../messages.ts';
import { adopt, judge, noteDiscrepancy, noteUnreadable, noteWindow } from './drift.ts';
import type { Position } from './position.ts';
import { alert, answeredAgain, settle, unblock, unmark } from './settled.ts';
import type { RemoteAnswer } from './standing.ts';

const HOUR = 60 * 60_000;

export interface Refusal {
  status: number;
  code: string;
  message: string;
  request_id?: string;
}

/** What a person is told of an answer. */
function blockOf(
  { code, message, request_id }: { code: string; message: string; request_id?: string },
  now: number,
): Block {
  return { code, message, at: new Date(now).toISOString(), ...(request_id !== undefined && { request_id }) };
}

/** Wait before the GET of a round: none before the first, then 1 s, doubling to an hour. */
function roundBackoff(rounds: number): number {
  return rounds <= 1 ? 0 : Math.min(1000 * 2 ** (rounds - 2), HOUR);
}

/**
 * An answer that verified. `sent` is what the call carried, for a PATCH or an upload.
 * @returns the fields that had drifted, and are as we want them again
 */
export function takeAnswer(
  position: Position,
  answer: RemoteAnswer,
  sent: PolicyFields | undefined,
  now: number,
): string[] {
  const standing = position.standing;
  const healing = standing.discrepancies.filter(({ became }) => became === 'healing');
  const window = noteWindow(position, answer.policy);
  const before = standing.confirmed && {
    policy: { ...window, ...standing.confirmed },
    unreadable: standing.unreadable,
  };
  const found = differences(position.held, answer.policy, answer.unreadable);
  noteUnreadable(position, answer.unreadable, now);
  standing.confirmed = position.managed(answer.policy);
  standing.confirmed_at = now;
  standing.got_at = sent ? 0 : now;
  standing.unreadable = answer.unreadable;
  standing.absent = false;
  delete standing.absent_since;
  delete standing.absence_accepted;
  standing.must_query = false;
  standing.not_before = 0;
  answeredAgain(position);
  if (sent) {
    standing.rounds = 0;
    delete standing.unverified;
  }
  // What an upload of ours made there, or may have, was not there before us.
  const baseline = standing.baseline && !sent;
  const { unseen = [], lagging } = standing;
  const isFirst = ({ field }: Difference): boolean =>
    !lagging && (baseline || (unseen.includes(field) && !(sent && field in sent)));
  for (const difference of found.filter((one) => !isFirst(one))) judge(position, difference, before, sent, now);
  adopt(position, found.filter(isFirst), now);
  standing.unseen = answer.unreadable.filter((field) => baseline || unseen.includes(field));
  standing.baseline = false;
  if (!position.life.known_there) position.life = { ...position.life, known_there: true };
  delete standing.lagging;
  delete standing.stray_until;
  forgetLanded(position, answer.policy, sent, now);
  forgetChanged(position, answer, sent);
  forgetSettled(position, answer.policy);
  // The state is through; what was refused beside the one before deserves a try of its own.
  if (standing.refused_with_state && !('policy_state' in standing.refused) && sent?.policy_state) unblock(position);
  settle(position);
  unmark(position);
  return healing.filter(({ became }) => became === 'healed').map(({ field }) => field);
}

/** An attempt of unknown outcome is over after its time; its fields are carried again until they show or were sent again. */
function forgetLanded(position: Position, remote: PolicyFields, sent: PolicyFields | undefined, now: number): void {
  const held = position.held;
  // A field that ours has no more, as the times of a window that was closed, cannot be carried again.
  const over = ([field, value]: [string, unknown]): boolean =>
    (sent !== undefined && (field in sent || !(field in held))) || sameValue(field, value, remote[field]);
  position.standing.unconfirmed = position.standing.unconfirmed
    .filter(({ at }) => now - at < LANDING)
    .map(({ fields, at, overtaken = [] }) => {
      const more = Object.entries(fields).filter(over);
      return { fields, at, overtaken: [...new Set([...overtaken, ...more.map(([field]) => field)])] };
    });
}

/** Changes that WeChat Pay holds by this answer, or took where nobody can read what it holds. */
function forgetChanged(position: Position, { policy, unreadable }: RemoteAnswer, sent: PolicyFields | undefined): void {
  const held = position.held;
  const isThere = (field: string): boolean =>
    unreadable.includes(field)
      ? sent !== undefined && field in sent && sameValue(field, sent[field], held[field])
      : sameValue(field, held[field], policy[field]);
  position.standing.changed = position.standing.changed.filter((field) => field in held && !isThere(field));
  if (!position.standing.changed.includes('policy_state')) delete position.standing.revives;
}

/** Refusals, reports and healings that the answer has made pointless. */
function forgetSettled(position: Position, remote: PolicyFields): void {
  const standing = position.standing;
  const held = position.held;
  const agrees = (field: string): boolean => sameValue(field, held[field], remote[field]);
  // One refused field turned out to be there: what was refused was a repetition, and the rest deserves its own try.
  if (Object.keys(standing.refused).some(agrees)) unblock(position);
  else if (standing.block && Object.keys(standing.refused).length === 0) standing.block = null;
  for (const [field, theirs] of Object.entries(standing.reported))
    if (agrees(field) || theirs !== comparable(field, remote[field])) delete standing.reported[field];
  for (const discrepancy of standing.discrepancies)
    if (discrepancy.became === 'healing' && agrees(discrepancy.field)) discrepancy.became = 'healed';
}

/** A PATCH or upload whose outcome nobody knows: ask before anything else is sent. */
export function takeUnknown(
  position: Position,
  sent: PolicyFields,
  now: number,
  answer?: { code: string; message?: string; request_id?: string },
): void {
  const standing = position.standing;
  if (answer?.message !== undefined) standing.unverified = blockOf({ ...answer, message: answer.message }, now);
  if (standing.absent) standing.baseline = false;
  const same = comparable('', sent);
  const others = standing.unconfirmed.filter(({ fields }) => comparable('', fields) !== same);
  standing.unconfirmed = [...others, { fields: sent, at: now }];
  askFirst(position, now);
  // Where GETs are answered in between, no call waits for so long that it would tell of it.
  if (position.alertAt !== undefined && now >= position.alertAt) alert(position);
}

/** Nothing is sent before a GET, later with each round that nothing came of. */
function askFirst({ standing, hurried }: Position, now: number): void {
  standing.must_query = true;
  standing.rounds += 1;
  if (!hurried) standing.not_before = now + roundBackoff(standing.rounds);
}

/** A call certainly without effect, to be made again in `wait` ms; unless `early`, its wait is to be told of. */
export function takeWait(
  position: Position,
  { wait = 0, early = false }: { wait?: number; early?: boolean },
  now: number,
): void {
  if (!early) alert(position);
  if (!position.hurried) position.standing.not_before = now + wait;
}

/** A signed refusal. `sent` is what a PATCH or an upload carried. */
export function takeRefusal(position: Position, refusal: Refusal, sent: PolicyFields | undefined, now: number): void {
  if (sent) (position.standing.absent ? uploadRefused : updateRefused)(position, refusal, sent, now);
  else if (refusal.status === 404) missing(position, refusal, now);
  else queryRefused(position, refusal, now);
}

function queryRefused({ standing, hurried }: Position, refusal: Refusal, now: number): void {
  standing.query_refused = standing.must_query && !hurried;
  if (!standing.must_query) standing.verify_refused ??= { blocks: standing.block === null };
  // What a person has to mend comes before what a verification was refused for.
  if (standing.must_query || standing.verify_refused?.blocks) standing.block = blockOf(refusal, now);
}

/** A 404 here is of something else that the upload names: that the policy is unknown was known before. */
function uploadRefused(position: Position, refusal: Refusal, sent: PolicyFields, now: number): void {
  // What was amended while an upload ran has not been refused, and goes up in the next.
  if (comparable('', sent) !== comparable('', position.uploaded)) return;
  blockWrite(position, refusal, now);
  delete position.standing.unverified;
}

/** It stays though a verification that was refused before is answered again. */
function blockWrite({ standing }: Position, refusal: Refusal, now: number): void {
  standing.block = blockOf(refusal, now);
  if (standing.verify_refused) standing.verify_refused = { blocks: false };
}

function updateRefused(position: Position, refusal: Refusal, sent: PolicyFields, now: number): void {
  const { standing, held } = position;
  delete standing.unverified;
  // What was changed while the call ran has not been refused, and what was taken back is there already.
  const wanted = Object.entries(sent).filter(([field, value]) => sameValue(field, value, held[field]));
  if (wanted.some(([field, value]) => !sameValue(field, value, standing.confirmed?.[field]))) {
    blockWrite(position, refusal, now);
    for (const [field, value] of wanted) standing.refused[field] = comparable(field, value);
    if ('policy_state' in sent) standing.refused_with_state = true;
  }
  // An earlier attempt may have landed, and the refusal be of the repetition; of a 404 nobody knows whether it is of the policy.
  if (position.carriedAgain.length > 0 || refusal.status === 404) askFirst(position, now);
}

function missing(position: Position, refusal: Refusal, now: number): void {
  const standing = position.standing;
  const known = standing.absent;
  answeredAgain(position);
  // It was refused for that, and for nothing that a person could mend in it.
  if (!known && standing.block?.code === refusal.code) unblock(position);
  if (!known || standing.must_query) standing.absent_since = now;
  standing.absent = true;
  standing.must_query = false;
  // An upload that could have landed has not: what it carried is nowhere, and can be amended.
  standing.unconfirmed = standing.unconfirmed.filter(({ at }) => now - at < LANDING);
  standing.got_at = now;
  if (standing.absence_accepted) return;
  standing.baseline = standing.confirmed === null && standing.baseline;
  if (position.isGone) {
    if (!known)
      noteDiscrepancy(
        position,
        { field: 'out_insurance_no', ours: position.held.out_insurance_no },
        'absent',
        'reported',
        now,
      );
    return;
  }
  if (position.life.record.upload) return;
  const [message] = BLOCKS.UNKNOWN_POLICY;
  standing.block = blockOf({ ...refusal, code: 'UNKNOWN_POLICY', message }, now);
}
