import { patched, workflowInfo } from '@temporalio/workflow';

interface Message {
  kind: 'signal' | 'update';
  act: () => void;
}

/**
 * Has the messages of one task act in the same order at every replay. The SDK does not: where a reset of Temporal's applies messages
 * again, its core (1.24) hands the first worker an update in the place that it has in the history, and each worker
 * that replays the task all signals first. So the first worker writes down, by a marker, how many updates a signal came
 * behind; elsewhere signals come first, as the server sends them, and no marker is written.
 */
export class InOrder {
  #messages: Message[] = [];

  /** Wraps a handler: it acts once all messages of the task are there. */
  act<M, A>(kind: Message['kind'], handler: (message: M) => Promise<A>): (message: M) => Promise<A> {
    return (message) =>
      new Promise((resolve, reject) => {
        // The SDK hands over all messages of a task before it lets go of the thread.
        if (this.#messages.length === 0) void Promise.resolve().then(() => this.#actAll());
        this.#messages.push({ kind, act: () => handler(message).then(resolve, reject) });
      });
  }

  #actAll(): void {
    const messages = this.#messages;
    this.#messages = [];
    for (const { act } of ordered(messages)) act();
  }
}

function ordered(messages: readonly Message[]): Message[] {
  const updates = messages.filter(({ kind }) => kind === 'update');
  const signals = messages.filter(({ kind }) => kind === 'signal');
  if (updates.length === 0 || signals.length === 0) return [...messages];
  const behind = signals.map((signal, index) => {
    const came = messages.slice(0, messages.indexOf(signal)).filter(({ kind }) => kind === 'update').length;
    return updatesBefore(index, came, updates.length);
  });
  return [...updates, undefined].flatMap((update, before) => [
    ...signals.filter((_, index) => behind[index] === before),
    ...(update ? [update] : []),
  ]);
}

/** How many updates act before a signal: as they came, and at a replay as the marker has it. */
function updatesBefore(signal: number, came: number, most: number): number {
  const { historyLength, unsafe } = workflowInfo();
  const marker = (before: number): string => `event ${historyLength}: signal ${signal} acts behind ${before} updates`;
  if (!unsafe.isReplaying) return came > 0 && patched(marker(came)) ? came : 0;
  for (let before = most; before > 0; before--) if (patched(marker(before))) return before;
  return 0;
}
