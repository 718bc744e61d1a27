/** How often the process notes that it runs. */
const TICK_MS = 1_000;
/** Between two ticks so far apart it stood still, and was not merely busy. */
const STOOD_STILL_MS = 2_000;
/** What was handed to it while it stood still comes to light within so long. */
const COMES_WITHIN_MS = 5_000;

/**
 * Notes when this process stood still, frozen with its machine: the answer to its long poll may have waited for it all the time. The SDK
 * does not tell when the server handed an attempt out, and the server's clock may be another; so this goes by the process's own alone. A
 * clock that is set forward looks the same, and costs an attempt or two that are made again.
 */
export class Standstill {
  readonly #now: () => number;
  #last: number;
  #before = 0;
  #until = 0;

  constructor(now: () => number = () => Date.now()) {
    this.#now = now;
    this.#last = now();
  }

  /** For as long as the process lives, which it does not hold up. */
  watch(): void {
    setInterval(() => this.tick(), TICK_MS).unref();
  }

  tick(): number {
    const now = this.#now();
    if (now < this.#last) this.#until = 0;
    else if (now - this.#last > STOOD_STILL_MS) {
      // Of two standstills in a row the first counts still.
      if (this.#until < this.#last) this.#before = this.#last;
      this.#until = now + COMES_WITHIN_MS;
    }
    this.#last = now;
    return now;
  }

  /** Since when the attempt that comes to light now may have been under way: now, or before the process stood still. */
  handedOut(): number {
    const now = this.tick();
    return now < this.#until ? this.#before : now;
  }
}

/** Of this process. */
export const standstill = new Standstill();
standstill.watch();
