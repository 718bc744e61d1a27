import type { Worker } from '@temporalio/worker';

/** A Worker and its run. */
export class Running {
  readonly #worker: Worker;
  /** Resolves when it has stopped; rejects when it failed. */
  readonly done: Promise<void>;

  constructor(worker: Worker) {
    this.#worker = worker;
    this.done = worker.run();
  }

  /** Takes no more work, at once; resolves when what runs has ended. Whether the run failed is told by `done`. */
  async stop(): Promise<void> {
    if (this.#worker.getState() === 'RUNNING') this.#worker.shutdown();
    await Promise.allSettled([this.done]);
  }
}
