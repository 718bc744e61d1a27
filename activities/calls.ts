import { activityInfo } from '@temporalio/activity';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import { differences } from '../policy/difference.ts';
import type { PolicyFields } from '../policy/record.ts';
import { StorageError } from '../storage/errors.ts';
import { writeVerification } from '../storage/policies.ts';
import type { Answer, WechatPay } from '../wechatpay/client.ts';
import { MerchantFaultError, NoEffectError, RefusedError, WechatPayError } from '../wechatpay/errors.ts';
import { backoff, nextVerification } from './backoff.ts';
import {
  type CallActivities,
  type CallInput,
  type CallResult,
  type Confirmed,
  FORMAT,
  type Refused,
  type Snapshot,
  type VerifyInput,
  type VerifyResult,
} from './inputs.ts';
import type { Place } from './recording.ts';
import { recordIntent, recordOutcome, writeSnapshot } from './recording.ts';

export interface CallSettings extends Place {
  /** The merchant's client as its settings are now; undefined while it has none that work, or is paused. */
  wechatPay: () => WechatPay | undefined;
  /** Id of the payload key that encrypts now. */
  payloadKey?: string;
  /** Told of every request made, for metrics. */
  observe?: (call: { mchid: string; method: string; outcome: string; duration_ms: number }) => void;
}

type Method = 'GET' | 'PATCH' | 'POST';
type Send = (client: WechatPay, number: string, host: number) => Promise<Answer>;

/** What one request came to: an answer that verified, or the client's typed error. */
interface Attempted {
  answer?: Answer;
  error?: WechatPayError;
  recorded: boolean;
}

/**
 * The calls of one merchant. One attempt makes one HTTP request at most, so that the rate at which the server hands
 * out attempts is the true rate. An attempt fails, to be retried by the server, only when it certainly had no effect.
 */
export function callActivities(settings: CallSettings): CallActivities {
  const calls = new Calls(settings);
  return {
    query: (input) => calls.query(input),
    push: (input) =>
      calls.write(input, 'PATCH', (client, number, host) => client.updatePolicy(number, input.fields ?? {}, { host })),
    upload: (input) =>
      calls.write(input, 'POST', (client, out_insurance_no, host) =>
        client.uploadPolicy({ ...input.fields, out_insurance_no }, { host }),
      ),
    verify: (input) => calls.verify(input),
  };
}

const GET: Send = (client, number, host) => client.queryPolicy(number, { host });

class Calls {
  readonly #settings: CallSettings;

  constructor(settings: CallSettings) {
    this.#settings = settings;
  }

  async query(input: CallInput): Promise<CallResult> {
    known(input.format);
    const { attempt } = activityInfo();
    if (attempt === 1 && input.delay) throw later('waiting', 'not yet due', input.delay);
    const attempted = await this.#attempt(input.snapshot, 'GET', GET, input.host);
    const result = this.#ending(attempted);
    return result ?? this.#again(attempted, input.alert_after);
  }

  async write(input: CallInput, method: Method, send: Send): Promise<CallResult> {
    known(input.format);
    const attempted = await this.#attempt(input.snapshot, method, send, input.host);
    const result = this.#ending(attempted);
    if (result) return result;
    const { error, recorded } = attempted;
    if (error instanceof NoEffectError || error instanceof MerchantFaultError)
      return this.#again(attempted, input.alert_after);
    return { outcome: 'unknown', code: codeOf(error), status: error?.status, ...this.#facts(error, recorded) };
  }

  async verify(input: VerifyInput): Promise<VerifyResult> {
    known(input.format);
    const { payloadKey } = this.#settings;
    if (payloadKey !== undefined && input.payload_key !== undefined && payloadKey !== input.payload_key)
      return { outcome: 'key-changed', recorded: true, payload_key: payloadKey };
    const { attempt } = activityInfo();
    const age = input.age + waited();
    const next = nextVerification(input.snapshot.out_insurance_no, attempt, age, input.every);
    if (attempt === 1 && input.age < next) return this.#arm(input, next);
    const attempted = await this.#attempt(input.snapshot, 'GET', GET, attempt);
    const found = this.#ending(attempted);
    if (found?.outcome === 'confirmed' && differs(input, found)) return found;
    if (found?.outcome === 'refused' && !(found.status === 404 && input.expect_absent)) return found;
    if (!found) throw retry(attempted);
    return this.#quiet(input.snapshot, found.outcome === 'confirmed' ? 1 : 0, next);
  }

  /** The first attempt: what was settled reaches MongoDB, and the first verification is set. */
  async #arm({ snapshot }: VerifyInput, next: number): Promise<never> {
    const at = new Date(Date.now() + next);
    try {
      await writeSnapshot(this.#settings, snapshot, { next_verification_at: at });
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.#settings.log.warn({ reason: error.message }, 'MongoDB did not take a record; it is tried again');
    }
    throw later('confirmed', `to be verified at ${at.toISOString()}`, next);
  }

  /** Nothing was found: the server keeps the timer to the next verification. */
  async #quiet({ mchid, out_insurance_no, revision, step }: Snapshot, further: 0 | 1, next: number): Promise<never> {
    const [verified_at, next_verification_at] = [new Date(), new Date(Date.now() + next)];
    try {
      // What WeChat Pay answered with was written one step further: that is the pair that stands now.
      const pair = { mchid, out_insurance_no, revision, step: step + further };
      await writeVerification(this.#settings.storage, { ...pair, verified_at, next_verification_at });
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      this.#settings.log.warn(
        { reason: error.message },
        'MongoDB did not take a verification; the next one tells of it',
      );
    }
    throw later('verified', `next at ${next_verification_at.toISOString()}`, next);
  }

  /** Records the intent, makes one request, records what came of it. */
  async #attempt(snapshot: Snapshot, method: Method, send: Send, host: number): Promise<Attempted> {
    const { mchid, out_insurance_no } = snapshot;
    const { attempt } = activityInfo();
    const client = this.#settings.wechatPay();
    if (!client) throw later('merchant-unavailable', MERCHANT_UNAVAILABLE, backoff(attempt));
    const intended = await recordIntent(this.#settings, snapshot, method);
    const begun = performance.now();
    const ended = await outcomeOf(() => send(client, out_insurance_no, host + attempt - 1));
    const duration_ms = Math.round(performance.now() - begun);
    const { answer, error } = ended;
    const outcome = error?.outcome ?? 'confirmed';
    this.#settings.observe?.({ mchid, method, outcome, duration_ms });
    this.#tell(mchid, error);
    const { status, request_id, host: at } = answer ?? error ?? {};
    const call = { outcome, status, code: error && codeOf(error), request_id, duration_ms, host: at };
    const concluded = await recordOutcome(this.#settings, snapshot, method, call, answer?.policy);
    return { ...ended, recorded: intended && concluded };
  }

  /** A result where the attempt proved something; otherwise undefined. */
  #ending({ answer, error, recorded }: Attempted): Confirmed | Refused | undefined {
    if (answer) {
      const { policy, unreadable } = answer;
      return { outcome: 'confirmed', policy, unreadable, at: Date.now(), ...this.#facts(answer, recorded) };
    }
    if (!(error instanceof RefusedError)) return undefined;
    const { message } = error;
    const status = error.notFound ? 404 : (error.status ?? 400);
    return { outcome: 'refused', status, code: codeOf(error), message, ...this.#facts(error, recorded) };
  }

  #facts(of: { request_id?: string | undefined } | undefined, recorded: boolean) {
    const { payloadKey } = this.#settings;
    return { recorded, request_id: of?.request_id, payload_key: payloadKey };
  }

  /** Has the server try again; or, once the wait is long enough, tells the workflow of it. */
  #again(attempted: Attempted, alertAfter = Number.POSITIVE_INFINITY): CallResult {
    const left = alertAfter - waited();
    if (left > 0) throw retry(attempted, left);
    const { error, recorded } = attempted;
    return { outcome: 'waiting', code: codeOf(error), ...this.#facts(error, recorded) };
  }

  /** A merchant's fault is nobody's policy's: it is said aloud, with what to look at. */
  #tell(mchid: string, error: WechatPayError | undefined): void {
    if (!(error instanceof MerchantFaultError)) return;
    const { code, status, request_id, message } = error;
    const advice =
      'every call of this merchant fails alike: check its keys, its certificate, its permission and the clock';
    this.#settings.log.error({ mchid, code, status, request_id, reason: message }, advice);
  }
}

const MERCHANT_UNAVAILABLE = 'the merchant is paused, or its settings cannot be used; see the WECHATPAY_MERCHANTS file';

/** Time since the activity was scheduled, on the server's clock, in ms. */
function waited(): number {
  const { currentAttemptScheduledTimestampMs, scheduledTimestampMs } = activityInfo();
  return Math.max(0, currentAttemptScheduledTimestampMs - scheduledTimestampMs);
}

async function outcomeOf(send: () => Promise<Answer>): Promise<{ answer?: Answer; error?: WechatPayError }> {
  try {
    return { answer: await send() };
  } catch (error) {
    if (error instanceof WechatPayError) return { error };
    throw error;
  }
}

/** WeChat Pay's code, or, where it gave none, the client's word for what happened. */
function codeOf(error: WechatPayError | undefined): string {
  return error?.code ?? error?.reason ?? 'unknown';
}

function differs({ expected, expect_absent, unreadable }: VerifyInput, found: Confirmed): boolean {
  if (expect_absent) return true;
  const blind = [...new Set([...unreadable, ...found.unreadable])];
  return differences(expected, found.policy, blind).length > 0 || lacks(found.policy, expected, blind);
}

/** A field that was empty and now has a value is a change too, which `differences` does not see from that side. */
function lacks(found: PolicyFields, expected: PolicyFields, blind: readonly string[]): boolean {
  const back = Object.fromEntries(Object.keys(expected).map((field) => [field, found[field]]));
  return differences(back, expected, blind).length > 0;
}

/** The attempt again, as WeChat Pay asks or by backoff, but not later than in `longest` ms. */
function retry({ error }: Attempted, longest = Number.POSITIVE_INFINITY): ApplicationFailure {
  const wait = error?.retry_after_ms ?? backoff(activityInfo().attempt);
  return later(codeOf(error), error?.message ?? 'no effect', Math.min(wait, Math.max(longest, 1000)));
}

/** Nothing to worry about: the server tries again after `wait` ms. */
function later(type: string, message: string, wait: number): ApplicationFailure {
  return ApplicationFailure.create({
    type,
    message: `${type}: ${message}`,
    nextRetryDelay: Math.max(1, Math.round(wait)),
    category: ApplicationFailureCategory.BENIGN,
  });
}

/** An input of a newer format waits for a worker that knows it. */
function known(format: number): void {
  if (format > FORMAT) throw later('format', `this worker knows format ${FORMAT}, the input has ${format}`, 10_000);
}
