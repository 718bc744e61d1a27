import { activityInfo } from '@temporalio/activity';
import type { ApplicationFailure } from '@temporalio/common';
import type { Answer, Call, WechatPay } from '../wechatpay/client.ts';
import {
  MerchantFaultError,
  NoEffectError,
  RefusedError,
  UnknownOutcomeError,
  WechatPayError,
} from '../wechatpay/errors.ts';
import { backoff } from './backoff.ts';
import { later } from './failure.ts';
import type { Confirmed, Refused, Snapshot } from './inputs.ts';
import { fault } from './log.ts';
import { type Debt, settleOwed } from './owed.ts';
import { type Place, recordIntent, recordOutcome, recordSnapshot } from './recording.ts';

export interface CallSettings extends Place {
  /** The merchant's client as its settings are now; undefined while it has none that works. */
  wechatPay: () => WechatPay | 'paused' | undefined;
  /** Id of the payload key that encrypts now. */
  payloadKey?: string;
  /** Told of every request made, for metrics. */
  observe?: (call: { mchid: string; method: string; outcome: string; duration_ms: number }) => void;
}

export interface Request {
  method: 'GET' | 'PATCH' | 'POST';
  send: (client: WechatPay, out_insurance_no: string, call: Call) => Promise<Answer>;
  /** Which of the merchant's hosts, counted from the main one. */
  host: number;
}

/** What one request came to: an answer that verified, or the client's typed error. */
export interface Attempted extends Debt {
  answer?: Answer;
  error?: WechatPayError;
  /** MongoDB has the snapshot and the attempt. */
  recorded: boolean;
}

/** Records the intent, makes one request, records what came of it. A merchant that is held makes no request. */
export async function attempt(settings: CallSettings, snapshot: Snapshot, request: Request): Promise<Attempted> {
  const { mchid, out_insurance_no } = snapshot;
  const client = settings.wechatPay();
  if (!client || client === 'paused') {
    const recorded = await recordSnapshot(settings, snapshot);
    return { error: client ? paused() : unavailable(), recorded };
  }
  const { method, send, host } = request;
  // WeChat Pay may quote what it holds, not only what this call sends.
  const known = { ...snapshot.record.policy, ...snapshot.record.upload };
  const intended = await recordIntent(settings, snapshot, method);
  const begun = performance.now();
  const ended = await outcomeOf(settings, () => send(client, out_insurance_no, { host, known }));
  const duration_ms = Math.round(performance.now() - begun);
  const { answer, error } = ended;
  const outcome = error?.outcome ?? 'confirmed';
  settings.observe?.({ mchid, method, outcome, duration_ms });
  tell(settings, mchid, error);
  const { status, request_id, host: at } = answer ?? error ?? {};
  const call = { outcome, status, code: error && codeOf(error), request_id, duration_ms, host: at };
  const concluded = await recordOutcome(settings, snapshot, method, call, answer?.policy);
  const debt = await settleOwed(settings, snapshot, { recorded: concluded.attempt, code: call.code, request_id });
  return { ...ended, ...debt, recorded: intended && concluded.all && !debt.owed };
}

/** Without effect, like everything that was never sent. */
function paused(): NoEffectError {
  const message = 'the merchant is paused in the WECHATPAY_MERCHANTS file; take "paused" out to go on';
  return new NoEffectError(message, { reason: 'aborted', code: 'MERCHANT_PAUSED' });
}

function unavailable(): NoEffectError {
  const message = 'the merchant has no settings that work: see its part of the WECHATPAY_MERCHANTS file';
  return new NoEffectError(message, { reason: 'aborted', code: 'MERCHANT_UNAVAILABLE' });
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

/** A merchant's fault is nobody's policy's: it is said aloud, with what to look at. */
function tell({ log }: CallSettings, mchid: string, error: WechatPayError | undefined): void {
  if (!(error instanceof MerchantFaultError)) return;
  const { code, status, request_id, message } = error;
  const advice =
    'every call of this merchant fails alike: check its keys, its certificate, its permission and the clock';
  log.error({ mchid, code, status, request_id, reason: message }, advice);
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
export function facts({ payloadKey }: CallSettings, { answer, error, recorded, owed }: Attempted) {
  return { recorded, request_id: (answer ?? error)?.request_id, payload_key: payloadKey, ...(owed && { owed }) };
}

/** WeChat Pay's code, or, where it gave none, the client's word for what happened. */
export function codeOf(error: WechatPayError | undefined): string {
  return error?.code ?? error?.reason ?? 'unknown';
}

/** Even where `Retry-After` says 0. */
const SHORTEST_MS = 500;

/**
 * Has the server try again: not before WeChat Pay asks for it, else by backoff, but then not later than in `longest`
 * ms, when the workflow wants to be told.
 */
export function again({ error }: Attempted, longest = Number.POSITIVE_INFINITY): ApplicationFailure {
  const wait = error?.retry_after_ms ?? Math.min(backoff(activityInfo().attempt), longest);
  return later(codeOf(error), error?.message ?? 'no effect', Math.max(wait, SHORTEST_MS));
}

/** Time since the activity was scheduled, on the server's clock, in ms. */
export function waited(): number {
  const { currentAttemptScheduledTimestampMs, scheduledTimestampMs } = activityInfo();
  return Math.max(0, currentAttemptScheduledTimestampMs - scheduledTimestampMs);
}
