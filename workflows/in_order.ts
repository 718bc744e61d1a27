import { patched, workflowInfo } from '@temporalio/workflow';
import { getActivator } from '@temporalio/workflow/lib/global-attributes.js';

/** More updates than one task may bring: Temporal lets ten be under way. */
const MOST_UPDATES = 10;

interface Waiting {
  behind: number;
  act: () => void;
}

/**
 * Has the messages of one task act in the same order at every replay. The SDK does not: where a reset of Temporal's applies messages
 * again, its core (1.24) hands the first worker an update in the place that it has in the history, and each worker
 * that replays the task all signals first. So the first worker writes down, by a marker, how many updates a signal came
 * behind. Elsewhere signals come first, as the server sends them, and no marker is written.
 *
 * Each acts within the call in which it comes, or in that of the update before it: whoever took one step more at a replay would
 * bring its commands in another order.
 */
export class InOrder {
  #markers: string[] = [];
  #waiting: Waiting[] = [];
  #updates = 0;
  #signals = 0;
  #over = true;

  signal<M>(handler: (message: M) => Promise<void>): (message: M) => Promise<void> {
    return (message) => {
      this.#begin();
      const behind = behindUpdates(this.#signals, this.#updates);
      if (behind > 0) this.#markers.push(marker(this.#signals, behind));
      this.#signals++;
      if (this.#updates >= behind) return handler(message);
      return new Promise((resolve, reject) => {
        this.#waiting.push({ behind, act: () => void handler(message).then(resolve, reject) });
      });
    };
  }

  update<M, A>(handler: (message: M) => Promise<A>): (message: M) => Promise<A> {
    return (message) => {
      this.#begin();
      this.#updates++;
      const answer = handler(message);
      this.#release(this.#updates);
      return answer;
    };
  }

  /** The SDK hands over all messages of a task before it lets go of the thread: what comes until then is of one task. */
  #begin(): void {
    if (!this.#over) return;
    this.#over = false;
    void Promise.resolve().then(() => this.#end());
  }

  #end(): void {
    for (const id of this.#markers) patched(id);
    this.#release(Number.POSITIVE_INFINITY);
    this.#markers = [];
    this.#updates = 0;
    this.#signals = 0;
    this.#over = true;
  }

  #release(updates: number): void {
    const ready = this.#waiting.filter(({ behind }) => behind <= updates);
    this.#waiting = this.#waiting.filter(({ behind }) => behind > updates);
    for (const { act } of ready) act();
  }
}

function marker(signal: number, behind: number): string {
  return `event ${workflowInfo().historyLength}: signal ${signal} acts behind ${behind} updates`;
}

/** As many as came before it; at a replay as many as the marker has. */
function behindUpdates(signal: number, came: number): number {
  if (!workflowInfo().unsafe.isReplaying) return came;
  // Not by `patched`, which would write the marker here, before the update that it follows. The SDK says it nowhere else.
  const { knownPresentPatches } = getActivator() as unknown as { knownPresentPatches: ReadonlySet<string> };
  for (let behind = 1; behind <= MOST_UPDATES; behind++)
    if (knownPresentPatches.has(marker(signal, behind))) return behind;
  return 0;
}
