import { hostname } from 'node:os';
import type { ObservedCall } from '../activities/attempt.ts';
import { fault, type Log } from '../activities/log.ts';
import { written } from '../activities/recording.ts';
import type { Storage } from '../storage/connection.ts';
import type { StoredHold } from '../storage/documents.ts';
import { StorageError } from '../storage/errors.ts';
import { clearHold, writeHold } from '../storage/holds.ts';
import { nextConfirmed } from '../storage/lives.ts';
import type { WechatPay } from '../wechatpay/client.ts';
import { MerchantFaultError, WechatPayError } from '../wechatpay/errors.ts';
import type { HeldByFile } from './merchants.ts';

/** As Temporal names the workers of this process. */
const HELD_BY = `${process.pid}@${hostname()}`;

/** `fault`: a call met it. The others are known from the merchants file, and nothing is asked while they last. */
export type HoldReason = 'fault' | HeldByFile['reason'];

interface Hold {
  reason: HoldReason;
  since: Date;
  told: Told;
  timer?: NodeJS.Timeout;
  /** Of a fault alone. */
  probing?: Probing;
}

const FORGOTTEN_AFTER_MS = 24 * 60 * 60 * 1000;

/** What people are told of a hold. Nothing of it quotes a policy. */
type Told = Pick<StoredHold, 'code' | 'status' | 'request_id' | 'message'>;

interface Probing {
  /** The policy whose call met the fault. */
  number: string;
  /** Another of the merchant's, the last that was asked for. */
  other?: string;
  /** The client that met it; another one is probed at once. */
  client: WechatPay | undefined;
  probes: number;
  /** By `performance.now()`: calls made before say nothing of what came after. */
  from: number;
}

interface HoldSettings {
  log: Log;
  storage: Storage;
  /** The merchant's client as its settings are now. */
  client(mchid: string): WechatPay | 'paused' | undefined;
  /** Merchants whose calls must wait for what the merchants file says of them now. */
  heldByFile(): HeldByFile[];
  /** Told when calls of a merchant must wait, or may go on. */
  changed(): void;
  /** Told of every probe, for metrics. */
  observe?: (call: ObservedCall) => void;
  /** In ms. */
  probeEvery: number;
}

/**
 * A merchant's fault (keys, certificate, permission, clock) makes every call of the merchant's fail alike, so this
 * process takes none of them: they wait on the Temporal server in the order of their priority, at no attempt and no event.
 * One probe a minute asks whether all is well again; the first verified answer lets them go on. Merchants that are
 * paused, or have no settings that can be used, are held likewise, until the merchants file says otherwise.
 */
export class Holds {
  readonly #settings: HoldSettings;
  readonly #holds = new Map<string, Hold>();
  /**
   * Policies that met the fault while another of the same merchant was answered: it is theirs, and holds nobody else. By
   * merchant and number, when they last met it: one that has ended meets it no more.
   */
  readonly #alone = new Map<string, Map<string, number>>();
  readonly #ending = new AbortController();

  constructor(settings: HoldSettings) {
    this.#settings = settings;
  }

  isHeld(mchid: string): boolean {
    return this.#holds.has(mchid);
  }

  /** Merchants whose calls wait, and why. */
  held(): Map<string, HoldReason> {
    return new Map([...this.#holds].map(([mchid, { reason }]) => [mchid, reason]));
  }

  /** A call met the merchant's fault: its calls are held from now on, and somebody is told, once. */
  faulty(mchid: string, met: MerchantFaultError, number: string): void {
    if (this.#holds.has(mchid) || this.#ending.signal.aborted) return;
    const { code, status, request_id, message: reason } = met;
    const alone = this.#stillAlone(mchid);
    if (alone.has(number)) {
      alone.set(number, Date.now());
      const about = { mchid, out_insurance_no: number, code, status, request_id, reason };
      this.#settings.log.warn(
        about,
        'this policy is denied what others of its merchant are granted; it is tried again later',
      );
      return;
    }
    this.#settings.log.error(
      { mchid, code, status, request_id, reason },
      'calls of this merchant are held, for all would fail alike: check its keys, its certificate, its permission and the clock',
    );
    const client = this.#settings.client(mchid);
    const asked = client === 'paused' ? undefined : client;
    const probing = { number, client: asked, probes: 0, from: performance.now() };
    // Where one policy was denied alone, this one may be, too: the others need not wait a minute to know.
    this.#hold(
      mchid,
      { reason: 'fault', since: new Date(), told: toldOf(met), probing },
      alone.size > 0 ? 0 : undefined,
    );
    this.#settings.changed();
  }

  /** An answer of WeChat Pay's has verified: whatever was wrong with the merchant is not any more. */
  well(mchid: string, number: string, made: number): void {
    this.#alone.get(mchid)?.delete(number);
    const hold = this.#holds.get(mchid);
    if (!hold?.probing || made < hold.probing.from) return;
    if (number !== hold.probing.number) this.#setApart(mchid, hold.probing.number);
    this.#goOn(mchid, hold);
    this.#settings.changed();
  }

  /**
   * Holds whom the merchants file says to hold, and lets go of those that it no longer says it of, or no longer has. Where
   * settings are others than those that met a fault, probes at once.
   */
  look(): void {
    const byFile = new Map(this.#settings.heldByFile().map((one) => [one.mchid, one]));
    for (const one of byFile.values()) this.#holdByFile(one);
    for (const [mchid, hold] of this.#holds) {
      if (byFile.has(mchid)) continue;
      const client = this.#settings.client(mchid);
      if (typeof client !== 'object') this.#release(mchid, hold);
      else if (!hold.probing) this.#goOn(mchid, hold);
      else if (client !== hold.probing.client) {
        hold.probing.client = client;
        this.#arm(mchid, hold, 0);
      }
    }
  }

  /** No probe goes out any more. What is held stays so in MongoDB: another process, or the next, sees to it. */
  end(): void {
    this.#ending.abort();
    for (const { timer } of this.#holds.values()) clearTimeout(timer);
  }

  #holdByFile({ mchid, reason, message }: HeldByFile): void {
    const before = this.#holds.get(mchid);
    if (before?.reason === reason && before.told.message === message) return;
    // What is wrong with settings was told by who read them.
    if (reason === 'paused') this.#settings.log.warn({ mchid }, `calls of this merchant are held: ${message}`);
    const told = { code: reason, status: null, request_id: null, message };
    this.#hold(mchid, { reason, since: before?.since ?? new Date(), told });
  }

  #hold(mchid: string, hold: Hold, probeIn?: number): void {
    clearTimeout(this.#holds.get(mchid)?.timer);
    this.#holds.set(mchid, hold);
    this.#record(mchid, hold);
    this.#arm(mchid, hold, probeIn);
  }

  #goOn(mchid: string, hold: Hold): void {
    this.#release(mchid, hold);
    const held_s = Math.round((Date.now() - hold.since.getTime()) / 1000);
    this.#settings.log.info({ mchid, held_s }, 'calls of this merchant go on');
  }

  #release(mchid: string, hold: Hold): void {
    clearTimeout(hold.timer);
    this.#holds.delete(mchid);
    void written(this.#settings, 'hold', () => clearHold(this.#settings.storage, { _id: mchid, held_by: HELD_BY }));
  }

  #setApart(mchid: string, number: string): void {
    this.#alone.set(mchid, this.#stillAlone(mchid).set(number, Date.now()));
  }

  /** Without those that have not met the fault for a day: calls are tried again each hour at the latest. */
  #stillAlone(mchid: string): Map<string, number> {
    const alone = this.#alone.get(mchid) ?? new Map<string, number>();
    for (const [number, at] of alone) if (Date.now() - at > FORGOTTEN_AFTER_MS) alone.delete(number);
    return alone;
  }

  #arm(mchid: string, hold: Hold, wait = this.#settings.probeEvery): void {
    clearTimeout(hold.timer);
    if (this.#ending.signal.aborted) return;
    hold.timer = setTimeout(() => void this.#again(mchid, hold), wait);
    hold.timer.unref();
  }

  /** Probes where that can tell something, and says in MongoDB that it holds still. Never rejects. */
  async #again(mchid: string, hold: Hold): Promise<void> {
    const client = this.#settings.client(mchid);
    if (hold.probing && typeof client === 'object') await this.#probe(mchid, client, hold, hold.probing);
    if (this.#holds.get(mchid) !== hold || this.#ending.signal.aborted) return;
    this.#record(mchid, hold);
    this.#arm(mchid, hold);
  }

  /** Sends one GET to see whether the fault is gone. */
  async #probe(mchid: string, client: WechatPay, hold: Hold, probing: Probing): Promise<void> {
    const count = probing.probes++;
    const number = count % 2 === 0 ? await this.#otherThan(mchid, probing) : probing.number;
    const begun = performance.now();
    const call = { host: Math.floor(count / 2), signal: this.#ending.signal };
    const made: Omit<ObservedCall, 'mchid' | 'method' | 'duration_ms'> = await client.queryPolicy(number, call).then(
      () => ({ outcome: 'confirmed' }),
      (error: unknown) => {
        if (error instanceof MerchantFaultError) hold.told = newest(hold.told, error);
        if (error instanceof WechatPayError)
          return { outcome: error.outcome, code: error.code ?? error.reason, reason: error.reason };
        this.#settings.log.error({ mchid, ...fault(error) }, 'a probe failed by a fault of this program');
        return { outcome: 'unknown', code: 'unknown' };
      },
    );
    const { outcome } = made;
    const duration_ms = Math.round(performance.now() - begun);
    this.#settings.observe?.({ mchid, method: 'GET', ...made, duration_ms });
    if (this.#holds.get(mchid) !== hold || this.#ending.signal.aborted) return;
    if (outcome === 'confirmed' || outcome === 'refused') this.well(mchid, number, begun);
    else this.#settings.log.debug({ mchid, outcome }, 'a probe found nothing better');
  }

  /**
   * Every other probe asks for another policy, each time for the next: what one is denied for itself alone must not hold
   * the others for ever.
   */
  async #otherThan(mchid: string, probing: Probing): Promise<string> {
    const { number, other = number } = probing;
    const next = await nextConfirmed(this.#settings.storage, mchid, other).catch((error: unknown) => {
      if (!(error instanceof StorageError))
        this.#settings.log.error(
          { mchid, ...fault(error) },
          'a probe asks for the same policy by a fault of this program',
        );
      return undefined;
    });
    probing.other = next ?? number;
    return probing.other;
  }

  #record(mchid: string, { since, told }: Hold): void {
    const document = { _id: mchid, ...told, since, probed_at: new Date(), held_by: HELD_BY };
    void written(this.#settings, 'hold', () => writeHold(this.#settings.storage, document));
  }
}

function toldOf({ code, reason, status, request_id, message }: MerchantFaultError): Told {
  return { code: code ?? reason, status: status ?? null, request_id: request_id ?? null, message };
}

/**
 * What a probe met, without its message: WeChat Pay may quote the policy in it, and a probe, unlike a call, does not know
 * which values to cut out.
 */
function newest(before: Told, met: MerchantFaultError): Told {
  const told = toldOf(met);
  return { ...told, message: told.code === before.code ? before.message : (WORDS[met.reason] ?? ELSE) };
}

const WORDS: Partial<Record<MerchantFaultError['reason'], string>> = {
  'signature-refused': "WeChat Pay refuses the signature: check the merchant's key, its certificate, and the clock",
  'no-permission': 'WeChat Pay denies the permission: check there what the merchant may do',
  'unusable-settings': "the merchant's key cannot sign: check the WECHATPAY_MERCHANTS file and the key files it names",
};
const ELSE = "check the merchant's keys, its certificate, its permission and the clock";
