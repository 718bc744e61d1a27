import type { Client } from '@temporalio/client';
import type { Log } from '../activities/log.ts';
import { codeOf, GRPC, reasonOf } from './grpc.ts';
import { isTold, isTolerated, lowered, raised, type Seen, withCall } from './learned_rate.ts';
import { pause } from './pause.ts';
import { type QueueRate, queueRate, setQueueRate } from './queue_rate.ts';

/** Calls that were handed out at a former rate still come in for so long. */
const SETTLED_MS = 1_000;
const QUIET_MS = 60_000;
const ENOUGH_TO_MEASURE = 10;
const LOOK_MS = 5_000;
/** How often it is asked whether another worker has limited a merchant that this one knows no limit of. */
const ASK_MS = 300_000;

interface Served {
  mchid: string;
  /** The setting. */
  requests_per_second: number;
}

interface Known extends QueueRate {
  /** When this process first saw it, by `performance.now()`: clocks of several machines are not compared. */
  since: number;
  seen: Seen;
  /** Calls that went through at this rate. */
  passed: number;
  /** When it was asked for last. */
  asked: number;
}

/**
 * Lowers the rate of a merchant whose calls WeChat Pay throttles, at once and for all workers: Temporal holds it, as the limit of
 * the merchant's queue. Quiet minutes raise it again, up to the setting, where the limit is taken away. Which call goes first
 * is the queue's to say, whatever the rate.
 */
export class LearnedRates {
  readonly #temporal: Client;
  readonly #log: Log;
  readonly #served: () => readonly Served[];
  readonly #known = new Map<string, Known>();
  /** How many calls a second went through at rates that were too high, in the last minute. */
  readonly #measured = new Map<string, { at: number; taken: number }[]>();
  /** Merchants whose rate is being looked at or changed. */
  readonly #changing = new Set<string>();
  #isOffered = true;

  constructor(temporal: Client, log: Log, served: () => readonly Served[]) {
    this.#temporal = temporal;
    this.#log = log;
    this.#served = served;
  }

  /** What holds now for each merchant, in requests a second. */
  rates(): Map<string, number> {
    return new Map(
      this.#served().map(({ mchid, requests_per_second }) => [
        mchid,
        this.#known.get(mchid)?.rate ?? requests_per_second,
      ]),
    );
  }

  /** Counts a call of a merchant, made at `made` by `performance.now()`. */
  called(mchid: string, isThrottled: boolean, made: number): void {
    const known = this.#known.get(mchid);
    if (known) {
      if (made < known.since + SETTLED_MS) return;
      known.seen = withCall(known.seen, isThrottled);
      if (!isThrottled) known.passed++;
    }
    if (!isThrottled) return;
    if (known && (isTolerated(known.seen) || !isTold(known.seen, made - known.since))) return;
    void this.#change(mchid, 'lower');
  }

  async keepLooking(signal: AbortSignal): Promise<void> {
    for (; !signal.aborted && this.#isOffered; await pause(LOOK_MS, signal)) await this.#look(signal);
  }

  async #look(signal: AbortSignal): Promise<void> {
    for (const { mchid } of this.#served()) {
      if (signal.aborted) return;
      const known = this.#known.get(mchid);
      const age = performance.now() - (known?.asked ?? Number.NEGATIVE_INFINITY);
      if (known?.rate === undefined ? age >= ASK_MS : age >= LOOK_MS) await this.#change(mchid, 'raise');
    }
  }

  /** One change at a time for each merchant, by what Temporal holds now. Never rejects. */
  async #change(mchid: string, change: 'lower' | 'raise'): Promise<void> {
    const setting = this.#served().find((one) => one.mchid === mchid)?.requests_per_second;
    if (setting === undefined || !this.#isOffered || this.#changing.has(mchid)) return;
    this.#changing.add(mchid);
    try {
      const asked = await queueRate(this.#temporal, mchid);
      const before = this.#known.get(mchid);
      const isNews = before !== undefined && before.mark !== asked.mark;
      const now = before === undefined || isNews ? this.#keep(mchid, asked) : before;
      now.asked = performance.now();
      // Set by another worker since: what this one has seen was at the rate before.
      if (isNews || !now.ours) return;
      await (change === 'lower' ? this.#lower(mchid, now, setting) : this.#raise(mchid, now, setting));
    } catch (error) {
      this.#failed(mchid, error);
    } finally {
      this.#changing.delete(mchid);
    }
  }

  async #lower(mchid: string, now: Known, setting: number): Promise<void> {
    const from = Math.min(setting, now.rate ?? setting);
    const rate = lowered(from, now.seen, this.#taken(mchid, now));
    if (rate === from) return;
    this.#keep(
      mchid,
      await setQueueRate(this.#temporal, mchid, { rate, why: `throttled at ${from} a second`, quiet: 0 }),
    );
    this.#log.warn(
      { mchid, from, to: rate },
      'WeChat Pay throttles this merchant: fewer requests a second from now on',
    );
  }

  /** The most that this process got through in a second of the last minute, while the rate was too high. */
  #taken(mchid: string, { seen, passed, since }: Known): number {
    const now = performance.now();
    const seconds = (now - since - SETTLED_MS) / 1000;
    // What went through before may have been at another limit of WeChat Pay's.
    const isOfNow = now - since < QUIET_MS && seconds > 0 && seen.calls >= ENOUGH_TO_MEASURE;
    const lately = (this.#measured.get(mchid) ?? []).filter(({ at }) => now - at < QUIET_MS);
    if (isOfNow) lately.push({ at: now, taken: passed / seconds });
    this.#measured.set(mchid, lately);
    return Math.max(0, ...lately.map(({ taken }) => taken));
  }

  async #raise(mchid: string, now: Known, setting: number): Promise<void> {
    if (now.rate === undefined) return;
    const isQuiet = performance.now() - now.since >= QUIET_MS;
    if (!isQuiet && now.rate < setting) return;
    const quiet = now.quiet + 1;
    const rate = raised(now.rate, setting, quiet);
    const isOver = rate >= setting;
    const why = isOver ? 'as set again' : `${now.rate} a second were taken`;
    const limit = isOver ? undefined : rate;
    this.#keep(mchid, await setQueueRate(this.#temporal, mchid, { rate: limit, why, quiet }));
    this.#log.info(
      { mchid, from: now.rate, to: rate },
      'WeChat Pay throttles this merchant no more: more requests a second',
    );
  }

  #keep(mchid: string, rate: QueueRate): Known {
    const now = performance.now();
    const known = { ...rate, since: now, asked: now, seen: { calls: 0, throttled: 0 }, passed: 0 };
    this.#known.set(mchid, known);
    return known;
  }

  #failed(mchid: string, error: unknown): void {
    const reason = reasonOf(error);
    if (codeOf(error) !== GRPC.UNIMPLEMENTED) {
      this.#log.debug({ mchid, reason }, 'the rate of a merchant could not be changed now');
      return;
    }
    this.#isOffered = false;
    this.#log.warn(
      { reason },
      'this Temporal server takes no rate at run time: where WeChat Pay throttles a merchant, lower its requests_per_second',
    );
  }
}
