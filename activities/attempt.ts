import { activityInfo } from '@temporalio/activity';
import type { ApplicationFailure } from '@temporalio/common';
import type { PolicyFields } from '../policy/record.ts';
import type { Answer, Call, WechatPay } from '../wechatpay/client.ts';
import {
  MerchantFaultError,
  NoEffectError,
  RefusedError,
  UnknownOutcomeError,
  WechatPayError,
} from '../wechatpay/errors.ts';
import { retryWait } from './backoff.ts';
import { later } from './failure.ts';
import { fault } from './log.ts';
import { type Debt, oweAhead, settleOwed } from './owed.ts';
import { type Place, recordIntent, recordOutcome, recordSnapshot, tellsEvents } from './recording.ts';
import { standstill } from './standstill.ts';
import type { Confirmed, Refused } from './types/results.ts';
import type { Snapshot } from './types/snapshot.ts';

export interface CallSettings extends Place {
  /** The merchant's client as its settings are now; undefined while it has none that works. */
  wechatPay: () => WechatPay | 'paused' | 'held' | undefined;
  /** Told what a call says of the merchant itself: its own fault, or that it was well when the call was made, by `performance.now()`. */
  merchant?: {
    faulty(fault: MerchantFaultError, out_insurance_no: string): void;
    well(out_insurance_no: string, made: number): void;
    /** Each call, made at `made` by `performance.now()`; `isThrottled`: it came too fast. */
    called?(isThrottled: boolean, made: number): void;
  };
  /** Id of the payload key that encrypts now. */
  payloadKey?: string;
  /** Told of every request made, for metrics. */
  observe?: (call: ObservedCall) => void;
}

export interface ObservedCall {
  mchid: string;
  method: string;
  outcome: string;
  /** WeChat Pay's code, or the client's word; absent where the call was confirmed. */
  code?: string | undefined;
  /** The client's word for what failed. */
  reason?: string | undefined;
  duration_ms: number;
}

export interface Request {
  method: 'GET' | 'PATCH' | 'POST';
  send: (client: WechatPay, out_insurance_no: string, call: Call) => Promise<Answer>;
  /** Which of the merchant's hosts, counted from the main one. */
  host: number;
  /** Personal values that WeChat Pay may hold and the record has not. */
  known?: readonly PolicyFields[] | undefined;
}

/** What one request came to: an answer that verified, or the client's typed error. */
export interface Attempted extends Debt {
  answer?: Answer;
  error?: WechatPayError;
  /** MongoDB has the snapshot and the attempt. */
  recorded: boolean;
  /** Calls of the merchant wait in their queue now. */
  held?: boolean;
}

/** An attempt that has not sent its request by then makes none: with it, it would outlast the 20 s that it has. */
const SEND_WITHIN_MS = 8_000;

/**
 * Records the intent, makes one request, records what came of it. A merchant that is held makes no request. Neither does an
 * attempt of a worker that stood still, frozen with its machine, before it took the attempt or since: it was given up long ago, and others
 * may have been made since.
 */
export async function attempt(settings: CallSettings, snapshot: Snapshot, request: Request): Promise<Attempted> {
  const taken = standstill.handedOut();
  const { mchid, out_insurance_no } = snapshot;
  const client = settings.wechatPay();
  if (typeof client !== 'object') {
    const recorded = await recordSnapshot(settings, snapshot);
    return { error: NOT_CALLED[client ?? 'unavailable'](), recorded, held: true };
  }
  const { method, send, host } = request;
  // WeChat Pay may quote what it holds, not only what this call sends.
  const known = [{ ...snapshot.record.policy, ...snapshot.record.upload }, ...(request.known ?? [])];
  const intended = await recordIntent(settings, snapshot, method);
  if (!intended) oweAhead();
  const begun = performance.now();
  const ended: Awaited<ReturnType<typeof outcomeOf>> =
    Date.now() - taken > SEND_WITHIN_MS
      ? { error: NOT_CALLED.late() }
      : await outcomeOf(settings, () => send(client, out_insurance_no, { host, known }));
  const duration_ms = Math.round(performance.now() - begun);
  const { answer, error } = ended;
  const outcome = error?.outcome ?? 'confirmed';
  const code = error && codeOf(error);
  settings.observe?.({ mchid, method, outcome, code, reason: error?.reason, duration_ms });
  settings.merchant?.called?.(error?.reason === 'throttled', begun);
  if (error instanceof MerchantFaultError) settings.merchant?.faulty(error, out_insurance_no);
  else if (answer || error instanceof RefusedError) settings.merchant?.well(out_insurance_no, begun);
  const held = error instanceof MerchantFaultError && typeof settings.wechatPay() !== 'object';
  const { status, request_id, host: at } = answer ?? error ?? {};
  const call = { outcome, status, code, request_id, duration_ms, host: at };
  settings.log.info({ mchid, out_insurance_no, method, revision: snapshot.revision, ...call }, 'WeChat Pay was called');
  const concluded = await recordOutcome(settings, snapshot, method, call, answer?.policy);
  const told = { intended, recorded: concluded.attempt, code: call.code, request_id };
  const debt = await settleOwed(settings, snapshot, told);
  return { ...ended, ...debt, recorded: intended && concluded.all && !debt.owed, held };
}

/** Without effect, like everything that was never sent. */
const NOT_CALLED = {
  paused: () =>
    notCalled('MERCHANT_PAUSED', 'the merchant is paused in the WECHATPAY_MERCHANTS file; take "paused" out'),
  held: () => notCalled('MERCHANT_HELD', 'the calls of the merchant are held: see the log of the worker for its fault'),
  late: () => notCalled('LATE', 'the worker stood still before it made the call; it is made again'),
  unavailable: () =>
    notCalled('MERCHANT_UNAVAILABLE', 'the merchant has no settings that work: see the WECHATPAY_MERCHANTS file'),
};

function notCalled(code: string, message: string): NoEffectError {
  return new NoEffectError(message, { reason: 'aborted', code });
}

async function outcomeOf(
  { log }: CallSettings,
  send: () => Promise<Answer>,
): Promise<Pick<Attempted, 'answer' | 'error'>> {
  try {
    return { answer: await send() };
  } catch (error) {
    if (error instanceof WechatPayError) return { error };
    // Nobody knows whether a bug struck before or after the request: a write must not be repeated for it.
    log.error(fault(error), 'a call failed by a fault of this program; its outcome is unknown');
    return { error: new UnknownOutcomeError('a fault of this program; see its log', { reason: 'no-answer' }) };
  }
}

/** A result where the attempt proved something; otherwise undefined. */
export function proven(settings: CallSettings, attempted: Attempted): Confirmed | Refused | undefined {
  const { answer, error } = attempted;
  if (answer) {
    const { policy, unreadable } = answer;
    return { outcome: 'confirmed', policy, unreadable, at: Date.now(), ...facts(settings, attempted) };
  }
  if (!(error instanceof RefusedError)) return undefined;
  const { message, status = 400 } = error;
  return { outcome: 'refused', status, code: codeOf(error), message, ...facts(settings, attempted) };
}

/** What every result tells beside its outcome. */
export function facts(settings: CallSettings, { answer, error, recorded, owed }: Attempted) {
  const { request_id } = answer ?? error ?? {};
  return { recorded, request_id, payload_key: settings.payloadKey, ...(owed && { owed }), ...tellsEvents(settings) };
}

/** WeChat Pay's code, or, where it gave none, the client's word for what happened. */
export function codeOf(error: WechatPayError | undefined): string {
  return error?.code ?? error?.reason ?? 'unknown';
}

/** A call of a merchant that is held goes back to its queue at once, to wait there in the order of priority. */
const HELD_MS = 2_000;

/** How long a call without effect waits for its next attempt, in ms. */
export function waitOf({ error, held }: Attempted): number {
  if (held) return HELD_MS * (0.5 + Math.random());
  return retryWait(activityInfo().attempt, error?.retry_after_ms);
}

/** Has the server try again in `wait` ms. */
export function again(attempted: Attempted, wait: number = waitOf(attempted)): ApplicationFailure {
  const { error } = attempted;
  return later(codeOf(error), error?.message ?? 'no effect', wait);
}

/** Time since the activity was scheduled, on the server's clock, in ms. */
export function waited(): number {
  const { currentAttemptScheduledTimestampMs, scheduledTimestampMs } = activityInfo();
  return Math.max(0, currentAttemptScheduledTimestampMs - scheduledTimestampMs);
}
