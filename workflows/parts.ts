import { ApplicationFailure } from '@temporalio/workflow';
import { Asked } from './asked.ts';
import { Inbox } from './inbox.ts';
import type { Status } from './messages.ts';
import { Outbox } from './outbox.ts';
import type { Position } from './reconciler/position.ts';
import { Run } from './run.ts';
import { type LastAnswer, Transitions } from './transitions.ts';

/** What the calls of a run leave behind for the next. */
interface Calls {
  /** The call that the loop waits for. */
  current: Status['call'];
  /** Which host the next goes to first. */
  host: number;
  /** Id of the payload key that encrypts, as last seen. */
  payloadKey: string | undefined;
  /** It was another than before: a fresh run is to seal all anew. */
  keyChanged: boolean;
  last: LastAnswer;
  /** The run that was told last that a reset made it: this one, or one that this one was made of. */
  toldReset?: string;
}

/** A policy in one run of its workflow: its parts, each of which keeps its own state. */
export class Parts {
  readonly run = new Run();
  readonly asked = new Asked();
  readonly outbox = new Outbox();
  readonly calls: Calls = { current: null, host: 0, payloadKey: undefined, keyChanged: false, last: {} };
  inbox = new Inbox();
  transitions = new Transitions();
  /** Of the record as opened. */
  digest: string | null = null;
  /** The message that came with the start, for who opened the policy. */
  opener: unknown;
  #position: Position | undefined;

  /** @throws `not-ready` before the first act has a record */
  get position(): Position {
    if (!this.#position) throw ApplicationFailure.nonRetryable('the policy has not begun yet', 'not-ready');
    return this.#position;
  }

  set position(position: Position) {
    this.#position = position;
  }
}
