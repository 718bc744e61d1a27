import type { Discrepancy } from '../../policy/entries.ts';
import { unmarked } from '../../policy/life.ts';
import type { Position } from './position.ts';
import { URGENCY } from './standing.ts';

/** The mark of a field that is not pushed again, for a person's attention. */
export const CONTESTED = 'contested:';

/** Nothing left to do for this revision: whoever waited for it need wait no longer. */
export function settle(position: Position): void {
  const standing = position.standing;
  if (position.sending) return;
  if (standing.must_query || position.isLacking || standing.block || position.stateDiverged) return;
  if (Object.keys(position.sendable()).length > 0 || position.withholdsChange) return;
  standing.synced_revision = standing.revision;
  delete standing.unverified;
  standing.waiting_since = null;
  standing.alerted = false;
  standing.rounds = 0;
  standing.urgency = URGENCY.verification;
}

export function unblock(position: Position): void {
  const { standing } = position;
  standing.refused = {};
  delete standing.refused_with_state;
  delete standing.verify_refused;
  standing.block = null;
  standing.query_refused = false;
}

/** WeChat Pay answers GETs again. */
export function answeredAgain(position: Position): void {
  const { standing } = position;
  standing.query_refused = false;
  if (standing.verify_refused?.blocks) standing.block = null;
  delete standing.verify_refused;
}

/** Takes off the marks of fields that are contested no more. */
export function unmark(position: Position): void {
  const over = position.life.attention.filter(
    (mark) => mark.startsWith(CONTESTED) && !(mark.slice(CONTESTED.length) in position.standing.reported),
  );
  if (over.length > 0) position.life = unmarked(position.life, ...over);
}

/** A change has waited for longer than the record allows without a word. */
export function alert(position: Position): void {
  position.standing.alerted = true;
}

/** MongoDB has these discrepancies as they are: those that are over need not be told again. */
export function toldOf(position: Position, written: readonly Discrepancy[]): void {
  const done = new Set(written.filter(({ became }) => became !== 'healing').map(({ id }) => id));
  position.standing.discrepancies = position.standing.discrepancies.filter(({ id }) => !done.has(id));
}
