import type { CallSettings } from '../activities/attempt.ts';
import { fault, type Log } from '../activities/log.ts';
import { written } from '../activities/recording.ts';
import type { Storage } from '../storage/connection.ts';
import { clearHold, type StoredHold, writeHold } from '../storage/holds.ts';
import type { WechatPay } from '../wechatpay/client.ts';
import { MerchantFaultError, WechatPayError } from '../wechatpay/errors.ts';

const PROBE_EVERY_MS = 60_000;

interface Hold {
  since: Date;
  told: Told;
  /** The policy whose call met the fault: a GET of it is the probe. */
  number: string;
  /** The client that met it; another one is probed at once. */
  client: WechatPay | undefined;
  probes: number;
  timer?: NodeJS.Timeout;
}

/** What people are told of a hold. Nothing of it quotes a policy. */
type Told = Pick<StoredHold, 'code' | 'status' | 'request_id' | 'message'>;

export interface HoldSettings {
  log: Log;
  storage: Storage;
  /** The merchant's client as its settings are now. */
  client(mchid: string): WechatPay | 'paused' | undefined;
  /** Told when calls of a merchant must wait, or may go on. */
  changed(): void;
  /** Told of every probe, for metrics. */
  observe?: CallSettings['observe'];
  /** In ms. */
  probeEvery?: number;
}

/**
 * A merchant's fault (keys, certificate, permission, clock) makes every call of the merchant's fail alike, so this
 * process takes none of them: they wait on the Temporal server in the order of their priority, at no attempt and no event.
 * One probe a minute asks whether all is well again; the first verified answer lets them go on.
 */
export class Holds {
  readonly #settings: HoldSettings;
  readonly #holds = new Map<string, Hold>();
  /** Merchants of whom a verified answer has come since this process began: no hold of a dead process is left of theirs. */
  readonly #well = new Set<string>();
  #ended = false;

  constructor(settings: HoldSettings) {
    this.#settings = settings;
  }

  isHeld(mchid: string): boolean {
    return this.#holds.has(mchid);
  }

  /** Merchants whose calls wait. */
  held(): string[] {
    return [...this.#holds.keys()];
  }

  /** A call met the merchant's fault: its calls are held from now on, and somebody is told, once. */
  faulty(mchid: string, met: MerchantFaultError, number: string): void {
    if (this.#holds.has(mchid) || this.#ended) return;
    const client = this.#settings.client(mchid);
    const asked = client === 'paused' ? undefined : client;
    const hold: Hold = { since: new Date(), told: toldOf(met), number, client: asked, probes: 0 };
    this.#holds.set(mchid, hold);
    this.#well.delete(mchid);
    const { code, status, request_id, message } = met;
    this.#settings.log.error(
      { mchid, code, status, request_id, reason: message },
      'calls of this merchant are held, for all would fail alike: check its keys, its certificate, its permission and the clock',
    );
    this.#record(mchid, hold);
    this.#arm(mchid, hold);
    this.#settings.changed();
  }

  /** An answer of WeChat Pay's to the merchant has verified: whatever was wrong is not any more. */
  well(mchid: string): void {
    const hold = this.#holds.get(mchid);
    if (!hold && this.#well.has(mchid)) return;
    this.#well.add(mchid);
    void written(this.#settings, 'hold', () => clearHold(this.#settings.storage, mchid));
    if (!hold) return;
    clearTimeout(hold.timer);
    this.#holds.delete(mchid);
    const held_s = Math.round((Date.now() - hold.since.getTime()) / 1000);
    this.#settings.log.info({ mchid, held_s }, 'calls of this merchant go on');
    this.#settings.changed();
  }

  /** Probes at once where a merchant's settings are others than those that met the fault; forgets one that is gone. */
  look(): void {
    for (const [mchid, hold] of this.#holds) {
      const client = this.#settings.client(mchid);
      if (client === undefined) this.#forget(mchid, hold);
      else if (client !== 'paused' && client !== hold.client) {
        hold.client = client;
        clearTimeout(hold.timer);
        void this.#probe(mchid, hold);
      }
    }
  }

  /** No probe goes out any more. What is held stays so in MongoDB: another process, or the next, sees to it. */
  end(): void {
    this.#ended = true;
    for (const { timer } of this.#holds.values()) clearTimeout(timer);
  }

  #arm(mchid: string, hold: Hold): void {
    if (this.#ended) return;
    hold.timer = setTimeout(() => void this.#probe(mchid, hold), this.#settings.probeEvery ?? PROBE_EVERY_MS);
    hold.timer.unref();
  }

  #forget(mchid: string, hold: Hold): void {
    clearTimeout(hold.timer);
    this.#holds.delete(mchid);
    void written(this.#settings, 'hold', () => clearHold(this.#settings.storage, mchid));
  }

  /** One GET. Never rejects: what it meets is what it is for. */
  async #probe(mchid: string, hold: Hold): Promise<void> {
    const client = this.#settings.client(mchid);
    const outcome = typeof client === 'object' ? await this.#asked(mchid, client, hold) : 'not asked';
    if (this.#holds.get(mchid) !== hold || this.#ended) return;
    if (outcome === 'confirmed' || outcome === 'refused') {
      this.well(mchid);
      return;
    }
    this.#settings.log.debug({ mchid, outcome }, 'a probe found nothing better');
    this.#record(mchid, hold);
    this.#arm(mchid, hold);
  }

  async #asked(mchid: string, client: WechatPay, hold: Hold): Promise<string> {
    const begun = performance.now();
    const outcome = await client.queryPolicy(hold.number, { host: hold.probes++ }).then(
      () => 'confirmed',
      (error: unknown) => {
        if (error instanceof MerchantFaultError) hold.told = newest(hold.told, error);
        if (error instanceof WechatPayError) return error.outcome;
        this.#settings.log.error({ mchid, ...fault(error) }, 'a probe failed by a fault of this program');
        return 'unknown';
      },
    );
    this.#settings.observe?.({ mchid, method: 'GET', outcome, duration_ms: Math.round(performance.now() - begun) });
    return outcome;
  }

  #record(mchid: string, { since, told }: Hold): void {
    const document = { _id: mchid, ...told, since, probed_at: new Date() };
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
