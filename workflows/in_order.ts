import { patched, workflowInfo } from '@temporalio/workflow';

interface Signal {
  /** How many updates of the task came before it. */
  behind: number;
  act?: () => void;
}

/**
 * Has the messages of one task act in the same order at every replay. The SDK does not: where a reset of Temporal's applies messages
 * again, its core (1.24) hands the first worker an update in the place that it has in the history, and each worker
 * that replays the task all signals first. So the first worker writes down, by a marker, how many updates a signal came
 * behind. Elsewhere signals come first, as the server sends them, and no marker is written.
 *
 * The first worker has each act as it comes, for the validator of the next update looks at what it has changed.
 */
export class InOrder {
  #signals: Signal[] = [];
  #updates: (() => void)[] = [];
  #came = 0;
  #beginning = true;

  signal<M>(handler: (message: M) => Promise<void>): (message: M) => Promise<void> {
    return (message) => {
      this.#begin();
      const signal: Signal = { behind: this.#came };
      this.#signals.push(signal);
      if (!isReplaying()) return handler(message);
      return new Promise((resolve, reject) => {
        signal.act = () => void handler(message).then(resolve, reject);
      });
    };
  }

  update<M, A>(handler: (message: M) => Promise<A>): (message: M) => Promise<A> {
    return (message) => {
      this.#begin();
      this.#came++;
      if (this.#signals.length === 0 || !isReplaying()) return handler(message);
      return new Promise((resolve, reject) => {
        this.#updates.push(() => void handler(message).then(resolve, reject));
      });
    };
  }

  /** The SDK hands over all messages of a task before it lets go of the thread: what comes in this turn is of one task. */
  #begin(): void {
    if (!this.#beginning) return;
    this.#beginning = false;
    void Promise.resolve().then(() => this.#end());
  }

  #end(): void {
    const [signals, updates] = [this.#signals, this.#updates];
    this.#signals = [];
    this.#updates = [];
    this.#came = 0;
    this.#beginning = true;
    const behind = signals.map((signal, index) => updatesBefore(index, signal, updates.length));
    for (let before = 0; before <= updates.length; before++) {
      for (const [index, { act }] of signals.entries()) if (behind[index] === before) act?.();
      updates[before]?.();
    }
  }
}

function isReplaying(): boolean {
  return workflowInfo().unsafe.isReplaying;
}

/** How many updates act before a signal: as the marker has it, which is written here where none is replayed. */
function updatesBefore(index: number, { behind }: Signal, updates: number): number {
  const { historyLength } = workflowInfo();
  const marker = (before: number): string => `event ${historyLength}: signal ${index} acts behind ${before} updates`;
  if (!isReplaying()) return behind > 0 && patched(marker(behind)) ? behind : 0;
  for (let before = updates; before > 0; before--) if (patched(marker(before))) return before;
  return 0;
}
