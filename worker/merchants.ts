import { stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import { WechatPay } from '../wechatpay/client.ts';
import type { Merchant } from '../wechatpay/merchant.ts';
import { MerchantsFileError, readMerchants } from '../wechatpay/merchants_file.ts';

/** The file is looked at so often, by its time and size: watching it by events fails on mounted secrets. */
const LOOK_EVERY_MS = 2000;

/** A merchant as it is served now. */
export interface Served {
  merchant: Merchant;
  client: WechatPay;
}

/**
 * The merchants of the watched file. An edit that cannot be read as a whole keeps what was; a merchant whose settings
 * cannot be used keeps its last good ones.
 */
export class Merchants {
  readonly #file: string;
  readonly #log: Logger;
  readonly #served = new Map<string, Served>();
  #seen = '';
  #timer: NodeJS.Timeout | undefined;

  constructor(file: string, log: Logger) {
    this.#file = file;
    this.#log = log;
  }

  /** Every merchant that is served now. */
  all(): Merchant[] {
    return [...this.#served.values()].map(({ merchant }) => merchant);
  }

  /** The client of a merchant as its settings are now; undefined while it has none, or is paused. */
  client(mchid: string): WechatPay | undefined {
    const served = this.#served.get(mchid);
    return served && !served.merchant.paused ? served.client : undefined;
  }

  /**
   * Reads the file for the first time.
   * @throws {MerchantsFileError} when it cannot be used at all
   */
  async load(): Promise<void> {
    this.#seen = await this.#stamp();
    await this.#read();
  }

  /** Looks at the file from now on; `changed` is called after each edit that was taken, one at a time. */
  watch(changed: () => Promise<void>): void {
    const look = async (): Promise<void> => {
      try {
        if (await this.#renewed()) await changed();
      } finally {
        if (this.#timer) this.#timer = setTimeout(look, LOOK_EVERY_MS);
      }
    };
    this.#timer = setTimeout(look, LOOK_EVERY_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  async #renewed(): Promise<boolean> {
    const stamp = await this.#stamp();
    if (stamp === this.#seen) return false;
    this.#seen = stamp;
    try {
      await this.#read();
      return true;
    } catch (error) {
      if (!(error instanceof MerchantsFileError)) throw error;
      this.#log.error({ reason: error.message }, 'the merchants file cannot be used; what was goes on');
      return false;
    }
  }

  async #stamp(): Promise<string> {
    try {
      const { mtimeMs, size, ino } = await stat(this.#file);
      return `${mtimeMs} ${size} ${ino}`;
    } catch (error) {
      return String((error as NodeJS.ErrnoException).code);
    }
  }

  async #read(): Promise<void> {
    const { merchants, faults, warnings } = await readMerchants(this.#file);
    for (const warning of warnings) this.#log.warn(warning);
    for (const { mchid, message } of faults) this.#log.error({ mchid }, message);
    const faulty = new Set(faults.map(({ mchid }) => mchid));
    for (const mchid of this.#served.keys())
      if (!merchants.has(mchid) && !faulty.has(mchid)) this.#served.delete(mchid);
    for (const [mchid, merchant] of merchants) this.#served.set(mchid, { merchant, client: new WechatPay(merchant) });
  }
}
