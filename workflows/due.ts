import { afterDue, dueTimes, settleDue } from '../policy/life.ts';
import { freshRunAt } from './fresh_run.ts';
import type { Parts } from './parts.ts';
import { change } from './reconciler/desired.ts';
import type { Position } from './reconciler/position.ts';
import { URGENCY } from './reconciler/standing.ts';

/** Applies what is due by now. What changes only what people should look at is no change of the record. */
export function applyDue({ position, outbox }: Parts, now: number): void {
  const { life, applied } = settleDue(position.life, now);
  if (applied.length === 0) return;
  const changes = applied.some(({ what }) => !what.startsWith('issuing-'));
  let before = position.life;
  if (changes) change(position, life, URGENCY.due, now);
  else position.life = life;
  const { revision } = position.standing;
  for (const due of applied) {
    const after = afterDue(before, due);
    outbox.journal.note(outbox.lifeId, { command: `due:${due.what}`, before, after, revision, at: due.at });
    before = after;
  }
}

const WAITING: readonly string[] = ['BLOCKED', 'DIVERGED', 'OBSERVED'];

/** What comes due first: of the policy, or the fresh run that takes over. */
export function nextDue({ life, sync }: Position): { what: string; at: number } {
  // An end that is past and does not come waits for a person, or another system, not for a time.
  const overdue = WAITING.includes(sync) ? Date.now() : 0;
  const due = dueTimes(life).find(({ what, at }) => what !== 'end' || at > overdue);
  const fresh = { what: 'fresh-run', at: freshRunAt() };
  return due && due.at <= fresh.at ? due : fresh;
}
