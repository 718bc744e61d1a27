import type { EventDetails, EventEntry, EventType, Stance } from '../policy/events.ts';
import { type End, shortState } from '../policy/state.ts';
import type { Parts } from './parts.ts';

/** How the policy stands, as far as events are told of it. */
export function stanceOf({ position, run }: Parts): Stance {
  const { life, standing, sync, diverged, isMissed } = position;
  return {
    state: shortState(life.record.policy.policy_state),
    sync: run.stopping ? 'STOPPED' : sync,
    revision: standing.revision,
    synced_revision: standing.synced_revision,
    block: standing.block,
    diverged: isMissed ? ['out_insurance_no'] : diverged,
    attention: life.attention,
    window: life.window,
  };
}

/** Notes what has happened since the last look. */
export function tellNews(parts: Parts): void {
  const { events, lifeId } = parts.outbox;
  events.look(lifeId, stanceOf(parts));
}

export function tell(parts: Parts, type: EventType, details: EventDetails): void {
  const { events, lifeId } = parts.outbox;
  events.note(lifeId, stanceOf(parts), type, details);
}

/** The event of an end that is about to be written, for the snapshot that writes it. */
export function tellEnd(parts: Parts, end: End): EventEntry[] {
  const { events, lifeId } = parts.outbox;
  const ended = events.end(lifeId, stanceOf(parts), end);
  return ended ? [ended] : [];
}
