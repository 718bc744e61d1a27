import { condition } from '@temporalio/workflow';
import type { CallResult, VerifyResult } from '../activities/types/results.ts';
import { unavailable } from './refusal.ts';

/** How long a caller of `verify` waits for WeChat Pay. */
const PATIENCE = 60_000;
/** How many of them wait at a time: Temporal takes ten updates at once, and half of them are for who has something to say. */
const MOST_CALLERS = 5;

/** Callers of `verify`, who wait for what WeChat Pay tells next. */
export class Asked {
  /** How often WeChat Pay has told what it holds, or refused to. */
  #answers = 0;
  /** The code by which the last of these was refused. */
  #refused: string | undefined;
  /** Callers who are here; those of them who wait, how many answers there were when the last asked, and since when. */
  #callers = 0;
  #waiting = 0;
  #askedAt = 0;
  #askedSince = 0;

  /** @throws `Unavailable` where too many wait already */
  refuseMore(): void {
    if (this.#callers >= MOST_CALLERS)
      throw unavailable(`${this.#callers} others wait for WeChat Pay's answer already: verify again once they have it`);
  }

  /** Somebody waits for an answer that has not come. */
  get isWaited(): boolean {
    return this.#waiting > 0 && this.#askedAt === this.#answers;
  }

  /** Of those who wait nobody was answered for long, one after another: they must not keep a change from leaving. */
  get inVain(): boolean {
    return Date.now() >= this.#askedSince + PATIENCE;
  }

  /** Counts a caller for as long as `run` takes. */
  async during<T>(run: () => Promise<T>): Promise<T> {
    this.#callers++;
    try {
      return await run();
    } finally {
      this.#callers--;
    }
  }

  /**
   * Until WeChat Pay has told what it holds.
   * @param wake has the loop look: it asks WeChat Pay for those who wait
   * @param handsOver whether a fresh run takes over, which this caller may not keep waiting
   * @throws `Unavailable`
   */
  async answer(wake: () => void, handsOver: () => boolean): Promise<void> {
    const before = this.#answers;
    if (!this.isWaited) this.#askedSince = Date.now();
    this.#waiting++;
    this.#askedAt = before;
    wake();
    const ended = await condition(() => this.#answers > before || handsOver(), PATIENCE);
    this.#waiting--;
    if (ended && this.#answers === before)
      throw unavailable('the policy goes over into a fresh run of its workflow, its history being long; verify again');
    if (!ended) throw unavailable('WeChat Pay gave no answer within 60 s');
    if (this.#refused) throw unavailable(`WeChat Pay refuses to tell: ${this.#refused}`);
  }

  /** Counts what tells them something. A refused PATCH tells nothing of what WeChat Pay holds; that it knows no such policy, a GET does. */
  count(result: CallResult | VerifyResult, isWrite: boolean): void {
    if (result.outcome !== 'confirmed' && (result.outcome !== 'refused' || isWrite)) return;
    this.#answers++;
    this.#refused = result.outcome === 'refused' && result.status !== 404 ? result.code : undefined;
  }
}
