import type { Envelope } from '../policy/commands.ts';
import type { Answer } from './messages.ts';

/** How many events are known again. */
const MOST_EVENTS = 200;

/** What survives of the messages of a life: plain JSON. */
export interface Received {
  /** Ids and their answers, oldest first. */
  events: [string, Answer][];
  /** The last accepted version of the source system. */
  version: number | null;
}

/** Makes messages idempotent (by `event_id`) and ordered (by `version`). */
export class Inbox {
  readonly received: Received;

  constructor(received: Received = { events: [], version: null }) {
    this.received = received;
  }

  /** The answer that a message gets without being looked at: that of its first time, or `superseded`. */
  answerTo(message: Envelope | undefined, revision: number): Answer | undefined {
    const { events, version } = this.received;
    // A null is absent, here too.
    const known = typeof message?.event_id === 'string' && events.find(([id]) => id === message.event_id);
    if (known) return known[1];
    const late = version !== null && typeof message?.version === 'number' && message.version <= version;
    return late ? { revision, outcome: 'superseded' } : undefined;
  }

  /** Remembers a message with its answer. A message may end after a newer one: versions never go back. */
  remember(message: Envelope | undefined, answer: Answer): Answer {
    const { received } = this;
    if (typeof message?.version === 'number') received.version = Math.max(received.version ?? 0, message.version);
    if (typeof message?.event_id === 'string')
      received.events = [...received.events, [message.event_id, answer] as [string, Answer]].slice(-MOST_EVENTS);
    return answer;
  }
}
