import { type ApplicationFailure, CancellationScope, condition } from '@temporalio/workflow';

/** So many messages that change nothing add 50 events at most. */
const MOST_UNSEEN = 10;

/** Where the run of the workflow stands: begun, refused, or being stopped; and whether anything came that the loop should look at. */
export class Run {
  /** The first act is over. */
  ready = false;
  /** Why the first act refuses the run; messages that started it are told the same. */
  refusal: ApplicationFailure | undefined;
  stopping = false;
  /** The end is being recorded, or has been. */
  ending = false;
  #wakeups = 0;
  #unseen = 0;

  /** Has the loop look again. */
  wake(): void {
    this.#wakeups++;
    this.#unseen = 0;
  }

  /**
   * A message came, of whatever effect. By these the history grows, and a fresh run may be due: the loop looks after each few. They are
   * counted, and no length or time is looked at where somebody waits: a task whose only message is refused leaves no trace of it, and a
   * replay would not look there.
   */
  heard(): void {
    this.#unseen++;
    if (this.#unseen >= MOST_UNSEEN) this.wake();
  }

  /** How often it was to look again: another number than before means that something came since. */
  get wakeups(): number {
    return this.#wakeups;
  }

  /** The button in the UI cancels the workflow: the loop is to stop. */
  stopWhenCancelled(): void {
    CancellationScope.current().cancelRequested.catch(() => {
      this.stopping = true;
      this.wake();
    });
  }

  /**
   * Messages that come with the start wait for the first act; later ones wait for nothing. What awaits lets the next
   * message of the same task go first, and two that depend on each other would act in the wrong order: so a handler that
   * acts awaits this only before the run is `ready`.
   */
  async readiness(): Promise<void> {
    if (!this.ready) await condition(() => this.ready || this.refusal !== undefined);
    if (this.refusal) throw this.refusal;
  }
}
