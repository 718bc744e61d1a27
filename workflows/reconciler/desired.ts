import { comparable, sameValue, sameWish } from '../../policy/difference.ts';
import { type Life, marked, unmarked } from '../../policy/life.ts';
import { APPROVED, INACTIVE, isTransition, type PolicyState } from '../../policy/state.ts';
import type { Position } from './position.ts';
import { settle, unblock, unmark } from './settled.ts';
import { URGENCY, type Urgency } from './standing.ts';

/** Marks for a person's attention: a signal that was ignored, by its rule; a reset. */
export const IGNORED = 'refused-signal:';
const RESET = 'reset';
/** For how long the attempt of a run goes on that a reset of Temporal's has ended: the start-to-close time of a call. */
const ATTEMPT = 20_000;
/** Nothing is sent before a GET, though one was refused before. */
export const ASK_ANEW = { must_query: true, query_refused: false, rounds: 0 } as const;
/** What goes with a state. */
const STATE_FIELDS: readonly string[] = ['policy_state', 'policy_code'];

/** Takes a changed life as desired, as the next revision. */
export function change(position: Position, life: Life, urgency: Urgency, now: number): void {
  const before = position.held;
  const { hold, observed } = position.life;
  position.life = life;
  const after = position.held;
  const standing = position.standing;
  standing.revision += 1;
  if (hold !== life.hold || observed !== life.observed) {
    takeUp(position, { handedOver: observed !== undefined && !life.observed }, urgency, now);
    return;
  }
  hurry(position, urgency, now);
  const differs = (field: string): boolean => !sameWish(field, before[field], after[field]);
  const changed = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(differs);
  const agrees = (field: string): boolean => sameValue(field, after[field], standing.confirmed?.[field]);
  // What WeChat Pay holds in a field that was not ours nobody has kept, and a false or 0 looks like nothing there.
  const isUnknown = (field: string): boolean => !(field in before) && agrees(field);
  if (changed.some(isUnknown)) standing.must_query = true;
  const isThere = (field: string): boolean =>
    standing.confirmed !== null && !standing.unreadable.includes(field) && agrees(field) && !isUnknown(field);
  standing.changed = [...new Set([...standing.changed, ...changed])].filter((field) => !isThere(field));
  // It may have become known since it was last asked for.
  if (standing.absent && !standing.confirmed && standing.block) standing.must_query = true;
  retryChanged(position, differs);
  delete standing.absence_accepted;
  if (differs('policy_state')) takeState(position, before.policy_state);
  for (const field of Object.keys(standing.reported))
    if (differs(field) && (field !== 'policy_state' || agrees(field))) delete standing.reported[field];
  // A new value has not been contested yet.
  for (const field of Object.keys(standing.drifts)) if (differs(field)) delete standing.drifts[field];
  settle(position);
  unmark(position);
}

/** Back to APPROVED leads only what puts in force again what was INACTIVE with us: an approval never revives what WeChat Pay has surrendered. */
function takeState(position: Position, before: PolicyState): void {
  const { standing, held } = position;
  const theirs = standing.confirmed?.policy_state;
  if (before === INACTIVE && held.policy_state === APPROVED) standing.revives = true;
  else delete standing.revives;
  if (position.follows(theirs)) delete standing.reported.policy_state;
  else if (isTransition(theirs, held.policy_state)) standing.reported.policy_state = comparable('policy_state', theirs);
}

/**
 * Whether anything is sent has changed, and nothing that would be. A policy that goes on begins with a GET, for nobody has
 * looked meanwhile, or another system has written; that its changes have waited is no fault of WeChat Pay's. Of one that is
 * handed over to us, what the GET finds otherwise is what `adopt` says, but for what messages and due times changed.
 */
function takeUp(position: Position, { handedOver }: { handedOver: boolean }, urgency: Urgency, now: number): void {
  const { standing, life } = position;
  if (!life.hold) Object.assign(standing, { ...ASK_ANEW, waiting_since: null });
  if (handedOver) {
    unblock(position);
    Object.assign(standing, { baseline: true, reported: {}, drifts: {} });
    unmark(position);
  }
  hurry(position, urgency, now);
  settle(position);
}

/** Takes from what was refused what is another value by now, and with it what may have been refused for its sake. */
function retryChanged(position: Position, differs: (field: string) => boolean): void {
  const { refused, refused_with_state } = position.standing;
  const changed = Object.keys(refused).filter(differs);
  const others = Object.keys(refused).filter((field) => !STATE_FIELDS.includes(field));
  // policy_code goes with the state: a state may have been refused for want of it.
  const state = 'policy_state' in refused && STATE_FIELDS.some(differs);
  // A new state leaves without what was refused beside the former: a surrender is not held up by a bad address.
  if (state && refused_with_state && others.length > 0 && !others.some((field) => changed.includes(field))) {
    for (const field of STATE_FIELDS) delete refused[field];
    return;
  }
  // A block without refused values came from a GET, an upload or a lacking policy: any change is a reason to try.
  if (changed.length > 0 || state || Object.keys(refused).length === 0) unblock(position);
}

function hurry(position: Position, urgency: Urgency, now: number): void {
  const standing = position.standing;
  standing.urgency = Math.min(standing.urgency, urgency) as Urgency;
  standing.waiting_since ??= now;
  standing.not_before = Math.min(standing.not_before, standing.stray_until ?? 0);
  // What WeChat Pay refuses to tell it may tell by now.
  standing.query_refused = false;
  position.hurried = true;
}

/**
 * A reset of Temporal's brought back an earlier state, and `revision` is on record already. What WeChat Pay holds otherwise
 * may be a later change of ours: it is asked, once an attempt of the run before has ended, and reported what differs.
 */
export function behind(position: Position, revision: number, now: number): void {
  const standing = position.standing;
  // More was accepted than this run knows of, and may have taken back what is on its way here: none of it counts as changed since.
  if (revision > standing.revision) standing.changed = [];
  standing.revision = Math.max(standing.revision, revision) + 1;
  Object.assign(standing, { ...ASK_ANEW, not_before: now + ATTEMPT, lagging: true });
  standing.stray_until = now + ATTEMPT;
  position.life = marked(position.life, RESET);
}

/**
 * Tries at once what is blocked, left different, or waiting, replaces what nobody can read, and takes the marks of ignored
 * signals and of a reset as seen. False when there is nothing of the kind.
 */
export function resume(position: Position, now: number): boolean {
  const seen = unmarked(
    position.life,
    ...position.life.attention.filter((mark) => mark.startsWith(IGNORED) || mark === RESET),
  );
  const acknowledged = seen.attention.length < position.life.attention.length;
  if (acknowledged) position.life = seen;
  const standing = position.standing;
  const blind = standing.unreadable.filter((field) => field in position.held);
  if (position.sync === 'SYNCED' && blind.length === 0) return acknowledged;
  standing.changed = [...new Set([...standing.changed, ...blind])];
  if (standing.absent) standing.must_query = true;
  unblock(position);
  standing.reported = {};
  standing.drifts = {};
  unmark(position);
  hurry(position, URGENCY.user, now);
  return true;
}
