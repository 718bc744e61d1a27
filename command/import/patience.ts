import { setTimeout as delay } from 'node:timers/promises';
import { exitCodeOf } from '../exit_code.ts';

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;

export interface PatienceOptions {
  /** For how long, in ms, something that is out of reach is asked again. */
  limit: number;
  /** Aborted where nothing more is to be done; aborts it itself, with the error, where nobody has been answered for `limit`. */
  stop: AbortController;
  /** Told of the first failure after an answer. */
  waits: (error: unknown) => void;
  /** Of the first wait, in ms; each further one is twice as long. */
  firstWait?: number;
}

/**
 * Asks again, with backoff, while a server or its workers are out of reach. What one asks for and all others are answered is no
 * such time: it fails by itself.
 */
export class Patience {
  readonly #options: PatienceOptions;
  #answered = Date.now();
  #waiting = false;

  constructor(options: PatienceOptions) {
    this.#options = options;
  }

  async ask<T>(question: () => Promise<T>): Promise<T> {
    const { stop, limit, firstWait = FIRST_WAIT_MS } = this.#options;
    let aloneSince: number | undefined;
    for (let wait = firstWait; ; wait = Math.min(wait * 2, LONGEST_WAIT_MS)) {
      try {
        const answer = await question();
        this.#heard();
        return answer;
      } catch (error) {
        if (exitCodeOf(error) !== 3) this.#heard();
        else this.#missed(error);
        if (exitCodeOf(error) !== 3 || stop.signal.aborted) throw error;
        const failed = Date.now();
        // Not all at once: a server that comes back has enough to do.
        await delay(wait * (0.5 + Math.random() / 2), undefined, { signal: stop.signal }).catch(() => {
          throw error;
        });
        // Others' answers before the failure say nothing: the server may have gone after them.
        aloneSince = this.#answered > failed ? (aloneSince ?? failed) : undefined;
        if (aloneSince !== undefined && failed - aloneSince > limit) throw error;
      }
    }
  }

  #heard(): void {
    this.#answered = Date.now();
    this.#waiting = false;
  }

  #missed(error: unknown): void {
    const { limit, stop, waits } = this.#options;
    if (stop.signal.aborted) return;
    if (Date.now() - this.#answered > limit) stop.abort(error);
    else if (!this.#waiting) waits(error);
    this.#waiting = true;
  }
}
