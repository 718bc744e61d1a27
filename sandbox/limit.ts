import { z } from 'zod';
import { foundKind, OWN_WORDS } from '../policy/expected.ts';
import { Refusal } from './refusal.ts';

const limitSchema = z.strictObject({ requests_per_second: z.number().positive('expected a rate above 0').nullable() });

/** How many calls a second the service takes: as many as it likes, or a rate, of which it takes a second's worth at once. */
export class Limit {
  readonly #now: () => number;
  #rate: number | null = null;
  #tokens = 0;
  #at = 0;

  /** @param now in ms, never set back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  get requests_per_second(): number | null {
    return this.#rate;
  }

  /** Takes `{requests_per_second}`, `null` for no limit. Answers what is wrong with it, in one line, and then changes nothing. */
  set(limit: unknown): string | undefined {
    const { data, error } = limitSchema.safeParse(limit, OWN_WORDS);
    const issue = error?.issues[0];
    if (issue) return `${['limit', ...issue.path].map(String).join('.')}: ${issue.message}${foundKind(issue, limit)}`;
    this.#rate = data?.requests_per_second ?? null;
    this.#tokens = Math.max(1, this.#rate ?? 0);
    this.#at = this.#now();
    return undefined;
  }

  /** Counts a call. @throws {Refusal} 429 where it is one too many */
  take(): void {
    if (this.#rate === null) return;
    const now = this.#now();
    this.#tokens = Math.min(Math.max(1, this.#rate), this.#tokens + ((now - this.#at) / 1000) * this.#rate);
    this.#at = now;
    if (this.#tokens < 1) throw new Refusal(429, 'FREQUENCY_LIMITED', 'too many requests of this merchant');
    this.#tokens--;
  }
}
