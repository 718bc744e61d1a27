import { CancellationScope, isCancellation, sleep } from '@temporalio/workflow';

/** The one timer of a policy: pending for the earliest due time, replaced only when another comes first. */
export class DueTimer {
  readonly #fire: () => void;
  #pending: { at: number; scope: CancellationScope } | undefined;

  constructor(fire: () => void) {
    this.#fire = fire;
  }

  /** Keeps the timer for `at` (epoch ms); a time already past waits for nothing. `what` is its summary in the UI. */
  keep({ what, at }: { what: string; at: number }): void {
    if (this.#pending?.at === at) return;
    this.cancel();
    const wait = at - Date.now();
    if (wait <= 0) return;
    const scope = new CancellationScope({ cancellable: true });
    this.#pending = { at, scope };
    scope
      .run(async () => {
        await sleep(wait, { summary: what });
        this.#pending = undefined;
        this.#fire();
      })
      .catch((error) => {
        if (!isCancellation(error)) throw error;
      });
  }

  cancel(): void {
    this.#pending?.scope.cancel();
    this.#pending = undefined;
  }
}
