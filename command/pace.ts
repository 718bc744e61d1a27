const SECOND = 1000;
/** The pace is that of the last minute: a fleet that is brought in slows down and speeds up with the servers. */
const LATELY_MS = 60 * SECOND;

/** How many are done of how many, how fast that goes, and how long it still takes. */
export class Pace {
  readonly #total: number | undefined;
  #done = 0;
  #marks: { at: number; done: number }[];

  /** @param total undefined where it is not known */
  constructor(total: number | undefined, now = Date.now()) {
    this.#total = total;
    this.#marks = [{ at: now, done: 0 }];
  }

  count(now = Date.now()): void {
    this.#done++;
    const last = this.#marks.at(-1);
    if (last && now - last.at < SECOND) return;
    this.#marks.push({ at: now, done: this.#done });
    while (this.#marks.length > 2 && now - (this.#marks[0]?.at ?? now) > LATELY_MS) this.#marks.shift();
  }

  /** From 0 to 1. */
  get share(): number {
    return this.#total === undefined || this.#total === 0 ? 1 : this.#done / this.#total;
  }

  /** `1200 of 300000, 340 a second, 15 min left` */
  text(now = Date.now()): string {
    const [first] = this.#marks;
    const seconds = (now - (first?.at ?? now)) / SECOND;
    const perSecond = seconds > 0 ? (this.#done - (first?.done ?? 0)) / seconds : 0;
    const of = this.#total === undefined ? '' : ` of ${this.#total}`;
    const pace = perSecond > 0 ? `, ${perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond)} a second` : '';
    const left = this.#total === undefined || perSecond === 0 ? undefined : (this.#total - this.#done) / perSecond;
    return `${this.#done}${of}${pace}${left === undefined ? '' : `, ${spoken(left)} left`}`;
  }
}

function spoken(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 90 * 60 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
