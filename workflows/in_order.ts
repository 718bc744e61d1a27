import { patched, workflowInfo } from '@temporalio/workflow';
import { knownPatches } from './known_patches.ts';

interface Waiting {
  behind: number;
  act: () => void;
}

/**
 * Has the messages of one task act in the same order at every replay. The SDK does not: where a reset of Temporal's applies messages
 * again, its core (1.24) hands the first worker an update in the place that it has in the history, and each worker
 * that replays the task all signals first. So the first worker writes down, by a marker, how many updates each signal came
 * behind. Elsewhere signals come first, as the server sends them, and no marker is written.
 *
 * Each acts within the call in which it comes, or in that of the update before it: whoever took one step more at a replay would
 * bring its commands in another order.
 */
export class InOrder {
  /** For each signal of the task, how many of its updates act before it. */
  #behind: number[] = [];
  #waiting: Waiting[] = [];
  /** What the first worker wrote down, at a replay of a task where it did. */
  #written: readonly number[] | undefined;
  #updates = 0;
  #over = true;

  signal<M>(handler: (message: M) => Promise<void>): (message: M) => Promise<void> {
    return (message) => {
      this.#begin();
      const written = this.#written?.[this.#behind.length];
      const behind = written ?? (workflowInfo().unsafe.isReplaying ? 0 : this.#updates);
      this.#behind.push(behind);
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
    this.#written = writtenOrder();
    void Promise.resolve().then(() => this.#end());
  }

  #end(): void {
    if (this.#behind.some((behind) => behind > 0)) patched(marker(this.#behind));
    this.#release(Number.POSITIVE_INFINITY);
    this.#behind = [];
    this.#updates = 0;
    this.#over = true;
  }

  #release(updates: number): void {
    const ready = this.#waiting.filter(({ behind }) => behind <= updates);
    this.#waiting = this.#waiting.filter(({ behind }) => behind > updates);
    for (const { act } of ready) act();
  }
}

function marker(behind: readonly number[]): string {
  return `event ${workflowInfo().historyLength}: signals act behind updates: ${behind}`;
}

function writtenOrder(): number[] | undefined {
  if (!workflowInfo().unsafe.isReplaying) return undefined;
  // Not by `patched`, which would write the marker here, before the updates that it follows.
  const start = marker([]);
  const written = [...knownPatches()].find((id) => id.startsWith(start));
  return written?.slice(start.length).split(',').map(Number);
}
