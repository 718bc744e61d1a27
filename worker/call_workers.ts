import { setTimeout as delay } from 'node:timers/promises';
import type { Worker } from '@temporalio/worker';
import type { Log } from '../activities/log.ts';
import type { Merchant } from '../wechatpay/merchant.ts';
import { Running } from './running.ts';

/** An added merchant is to be served within 10 s, whatever call of another's is under way. */
const LAST_POLLS_MS = 3_000;

type Served = Pick<Merchant, 'mchid' | 'requests_per_second'>;

/** One Worker for each merchant's queue, so that none delays another. */
export class CallWorkers {
  readonly #log: Log;
  readonly #create: (merchant: Served) => Promise<Worker>;
  readonly #running = new Map<string, { worker: Running; rate: number }>();
  readonly #draining = new Set<Promise<void>>();
  #fail: (error: unknown) => void = () => {};
  /** Settles only when a Worker fails. */
  readonly failed: Promise<never> = new Promise((_, reject) => {
    this.#fail = reject;
  });

  constructor(log: Log, create: (merchant: Served) => Promise<Worker>) {
    this.#log = log;
    this.#create = create;
  }

  /**
   * Serves these merchants and no others. Another rate needs another Worker; keys are asked for at each call. Calls
   * under way finish meanwhile. Where a Worker cannot be made now, says so; serving the same again tries again.
   */
  async serve(merchants: readonly Served[]): Promise<void> {
    const wanted = new Map(merchants.map((merchant) => [merchant.mchid, merchant]));
    const leaving = [...this.#running].filter(([mchid, { rate }]) => wanted.get(mchid)?.requests_per_second !== rate);
    const drained = Promise.all(leaving.map(([mchid, { worker }]) => this.#leave(mchid, worker)));
    // A poll of the former Worker that came after the first of the new one would put the former rate back.
    await Promise.race([drained, delay(LAST_POLLS_MS, undefined, { ref: false })]);
    const lacking = [...wanted.values()].filter(({ mchid }) => !this.#running.has(mchid));
    await Promise.all(lacking.map((merchant) => this.#take(merchant)));
  }

  /** Takes no more calls, and resolves when those under way have ended. */
  async stop(): Promise<void> {
    await this.serve([]);
    await Promise.all(this.#draining);
  }

  async #take(merchant: Served): Promise<void> {
    const { mchid, requests_per_second } = merchant;
    try {
      const worker = new Running(await this.#create(merchant));
      worker.done.catch(this.#fail);
      this.#running.set(mchid, { worker, rate: requests_per_second });
      this.#log.info({ mchid, requests_per_second }, 'merchant is served');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#log.error({ mchid, reason }, 'merchant cannot be served now; trying again');
    }
  }

  #leave(mchid: string, worker: Running): Promise<void> {
    this.#running.delete(mchid);
    const drained = worker.stop().then(() => {
      this.#draining.delete(drained);
      this.#log.info({ mchid }, 'a Worker of the merchant has ended, its calls finished');
    });
    this.#draining.add(drained);
    return drained;
  }
}
