import { condition } from '@temporalio/workflow';
import type { CallResult, VerifyResult } from '../activities/types/results.ts';
import { unavailable } from './refusal.ts';

/** How long a caller of `verify` waits for WeChat Pay. */
const PATIENCE = 60_000;
/** And how long of that behind a change that waits to leave. */
const BEHIND = 15_000;
/** How many of them wait at a time: Temporal takes ten updates at once, and half of them are for who has something to say. */
const MOST_CALLERS = 5;

/** Callers of `verify`, who wait for what WeChat Pay tells next. */
export class Asked {
  /** How often WeChat Pay has told what it holds, or refused to. */
  #answers = 0;
  /** The code by which the last of these was refused. */
  #refused: string | undefined;
  /** Callers who are here; those of them who wait, and how many answers there were when the last asked. */
  #callers = 0;
  #waiting = 0;
  #askedAt = 0;
  /** One of them was not answered in time, and nobody since. */
  #inVain = false;
  /** Somebody was answered since a change left last. */
  #served = false;
  #released = false;

  /** @throws `Unavailable` where too many wait already */
  refuseMore(): void {
    if (this.#callers >= MOST_CALLERS)
      throw unavailable(`${this.#callers} others wait for WeChat Pay's answer already: verify again once they have it`);
  }

  /** Somebody waits for an answer that has not come. */
  get isWaited(): boolean {
    return this.#waiting > 0 && this.#askedAt === this.#answers;
  }

  /**
   * A change that waits to leave goes before those who ask now: before them others were answered, and without end they would keep it. So
   * it does where nobody was answered for long.
   */
  get isBehind(): boolean {
    return this.#served || this.#inVain;
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
   * @throws `Unavailable`
   */
  async answer(wake: () => void): Promise<void> {
    const before = this.#answers;
    const told = (): boolean => this.#answers > before || this.#released;
    if (!this.isWaited) this.#inVain = false;
    this.#waiting++;
    this.#askedAt = before;
    wake();
    const ended = await this.#inTime(told);
    this.#waiting--;
    if (!ended) this.#inVain = true;
    if (ended && this.#answers === before)
      throw unavailable('the policy goes over into a fresh run of its workflow, its history being long; verify again');
    if (!ended) throw unavailable('WeChat Pay gave no answer within 60 s');
    if (this.#refused) throw unavailable(`WeChat Pay refuses to tell: ${this.#refused}`);
  }

  /** Behind a change for a part of the time: it may not leave for long. */
  async #inTime(told: () => boolean): Promise<boolean> {
    if (!this.#served) return condition(told, PATIENCE);
    if (await condition(told, BEHIND)) return true;
    this.#served = false;
    return condition(told, PATIENCE - BEHIND);
  }

  /** A fresh run takes over, which no caller may keep waiting. */
  release(): void {
    this.#released = true;
  }

  /** A change has left, whatever came of it: those who ask go before the next. */
  wrote(): void {
    this.#served = false;
  }

  /** Counts what tells them something. A refused PATCH tells nothing of what WeChat Pay holds; that it knows no such policy, a GET does. */
  count(result: CallResult | VerifyResult, isWrite: boolean): void {
    if (result.outcome !== 'confirmed' && (result.outcome !== 'refused' || isWrite)) return;
    this.#answers++;
    this.#inVain = false;
    this.#served = !isWrite && this.#waiting > 0;
    this.#refused = result.outcome === 'refused' && result.status !== 404 ? result.code : undefined;
  }
}
