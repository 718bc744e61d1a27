import {
  type EventDetails,
  type EventEntry,
  type EventType,
  eventsBetween,
  NOTHING_TOLD,
  type Stance,
  type Told,
} from '../policy/events.ts';
import type { End } from '../policy/state.ts';

/** Events kept until MongoDB is known to have them: a policy with more of them in one outage loses the oldest. */
const MOST_EVENTS = 200;

/** What survives of a policy's events from run to run: plain JSON. */
export interface Announced {
  /** A worker has said that it writes events. Absent: nobody waits for any, and none is kept. */
  wanted?: true;
  /** Not yet known to be in MongoDB, the oldest first. */
  entries: EventEntry[];
  /** The sequence of the last event there was. */
  last: number;
  /** What was told last. */
  told: Told;
}

/**
 * What happens to a policy that others wait for. The workflow is their outbox: it notes an event in the task that brings it about, and
 * hands it on with every call until one has come back that says that MongoDB has it. It asks nothing of Temporal.
 */
export class Events {
  readonly state: Announced;

  constructor(state: Announced = { entries: [], last: 0, told: NOTHING_TOLD }) {
    this.state = state;
  }

  /** How the policy stood before anybody waited for events: nothing of that is told. */
  begin(now: Stance): void {
    this.state.told = eventsBetween(this.state.told, now).told;
  }

  /** @param life makes ids unique over policies and lives */
  look(life: string, now: Stance): void {
    const { events, told } = eventsBetween(this.state.told, now);
    this.state.told = told;
    for (const [type, details] of events) this.note(life, now, type, details);
  }

  note(life: string, now: Stance, type: EventType, details: EventDetails): void {
    const { state } = this;
    if (!state.wanted) return;
    state.entries = [...state.entries, this.#made(life, now, type, details)].slice(-MOST_EVENTS);
  }

  /**
   * The event of an end, which nobody keeps: it is one only if no message comes before it is written. Where one does, or the policy
   * is started again, that it is in step is told once more.
   */
  end(life: string, now: Stance, end: End): EventEntry | undefined {
    const { state } = this;
    if (!state.wanted) return undefined;
    state.told = { ...state.told, out: end };
    return this.#made(life, now, 'policy.ended', { end });
  }

  /**
   * After a reset of Temporal's: the run has counted what another has counted already. It goes on far above that, and what it has not
   * yet known to be told is told by numbers of its own.
   */
  restart(life: string): void {
    const { state } = this;
    state.last = Math.max(state.last, Date.now());
    state.entries = state.entries.map((entry) => {
      const sequence = ++state.last;
      return { ...entry, sequence, id: `${life}_${sequence}` };
    });
  }

  #made(life: string, now: Stance, type: EventType, details: EventDetails): EventEntry {
    const at = Date.now();
    // Counted, not timed: a replay may hand an update over in another task than it came in, at another time.
    const sequence = ++this.state.last;
    const { state, sync, revision, synced_revision } = now;
    return { id: `${life}_${sequence}`, type, sequence, at, state, sync, revision, synced_revision, ...details };
  }

  /** MongoDB has these: a worker that knows of events said so. */
  recorded(written: readonly EventEntry[] = []): void {
    this.state.wanted = true;
    const last = written.at(-1)?.sequence ?? 0;
    this.state.entries = this.state.entries.filter(({ sequence }) => sequence > last);
  }
}
