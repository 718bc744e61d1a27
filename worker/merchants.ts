import { createPublicKey } from 'node:crypto';
import type { Log } from '../activities/log.ts';
import { WechatPay } from '../wechatpay/client.ts';
import type { Merchant } from '../wechatpay/merchant.ts';
import { MerchantsFileError, readMerchants } from '../wechatpay/merchants_file.ts';
import { stampOf } from './file_stamp.ts';

interface Served {
  merchant: Merchant;
  client: WechatPay;
}

/** A merchant whose calls wait for what the file says of it, and in one line what to do. */
export interface HeldByFile {
  mchid: string;
  reason: 'paused' | 'unusable-settings';
  message: string;
}

const PAUSED = 'paused in the WECHATPAY_MERCHANTS file: take "paused" out, and its calls go on';

/**
 * The merchants of the WECHATPAY_MERCHANTS file as it is now. An edit that cannot be read as a whole keeps what was; a
 * merchant whose settings cannot be used keeps its last good ones.
 */
export class Merchants {
  readonly #file: string;
  readonly #log: Log;
  readonly #served = new Map<string, Served>();
  /** What is wrong with settings that cannot be used, by mchid. */
  #faults = new Map<string, string>();
  #seen = '';

  constructor(file: string, log: Log) {
    this.#file = file;
    this.#log = log;
  }

  /** Every merchant that has settings which can be used. */
  all(): Merchant[] {
    return [...this.#served.values()].map(({ merchant }) => merchant);
  }

  /** Merchants paused by hand, and those without any settings that could be used. */
  held(): HeldByFile[] {
    const paused = this.all().filter((merchant) => merchant.paused);
    const unusable = [...this.#faults].filter(([mchid]) => !this.#served.has(mchid));
    return [
      ...paused.map(({ mchid }): HeldByFile => ({ mchid, reason: 'paused', message: PAUSED })),
      ...unusable.map(([mchid, message]): HeldByFile => ({ mchid, reason: 'unusable-settings', message })),
    ];
  }

  /** The client of a merchant as its settings are now; undefined while it has none that can be used. */
  client(mchid: string): WechatPay | 'paused' | undefined {
    const served = this.#served.get(mchid);
    return served?.merchant.paused ? 'paused' : served?.client;
  }

  /**
   * Reads the file for the first time.
   * @throws {MerchantsFileError} when it cannot be used at all
   */
  async load(): Promise<void> {
    this.#seen = await stampOf(this.#file, keyFilesIn);
    await this.#read();
  }

  /** Reads the file again where it, or a key that it names, is another than when last read. */
  async look(): Promise<void> {
    const stamp = await stampOf(this.#file, keyFilesIn);
    if (stamp === this.#seen) return;
    this.#seen = stamp;
    try {
      await this.#read();
    } catch (error) {
      if (!(error instanceof MerchantsFileError)) throw error;
      this.#log.error({ reason: error.message }, 'the merchants file cannot be used; what was goes on');
    }
  }

  async #read(): Promise<void> {
    const { merchants, faults, warnings } = await readMerchants(this.#file);
    for (const warning of warnings) this.#log.warn(warning);
    const before = this.#faults;
    this.#faults = new Map(faults.map(({ mchid }) => [mchid, linesOf(mchid, faults)]));
    for (const mchid of this.#served.keys())
      if (!merchants.has(mchid) && !this.#faults.has(mchid)) this.#served.delete(mchid);
    for (const [mchid, reason] of this.#faults) if (before.get(mchid) !== reason) this.#tell(mchid, reason);
    for (const [mchid, merchant] of merchants) this.#take(mchid, merchant);
  }

  #tell(mchid: string, reason: string): void {
    const follows = this.#served.has(mchid)
      ? 'its last good settings go on'
      : 'its calls are held until they are set right';
    this.#log.error({ mchid, reason }, `settings of a merchant cannot be used; ${follows}`);
  }

  #take(mchid: string, merchant: Merchant): void {
    const before = this.#served.get(mchid);
    if (before && described(before.merchant) === described(merchant)) return;
    this.#served.set(mchid, { merchant, client: new WechatPay(merchant) });
    const { paused, requests_per_second } = merchant;
    this.#log.info({ mchid, paused, requests_per_second }, before ? 'merchant changed' : 'merchant added');
  }
}

function linesOf(mchid: string, faults: readonly { mchid: string; message: string }[]): string {
  return faults
    .filter((fault) => fault.mchid === mchid)
    .map(({ message }) => message)
    .join('; ');
}

function keyFilesIn(text: string): string[] {
  return [...text.matchAll(/"\w+_file"\s*:\s*"([^"]+)"/g)].map(([, path = '']) => path);
}

/** All that calls depend on, as text; of a private key its public half. */
function described({ merchant_keys, wechatpay_keys, ...rest }: Merchant): string {
  const pem = { type: 'spki', format: 'pem' } as const;
  return JSON.stringify({
    merchant_keys: merchant_keys.map(({ serial_no, private_key, certificate }) => [
      serial_no,
      createPublicKey(private_key).export(pem),
      certificate?.fingerprint256,
    ]),
    wechatpay_keys: wechatpay_keys.map(({ id, public_key }) => [id, public_key.export(pem)]),
    ...rest,
  });
}
