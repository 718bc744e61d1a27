import {
  type ErrorDetails,
  MerchantFaultError,
  NoEffectError,
  RefusedError,
  UnknownOutcomeError,
  type WechatPayError,
} from './errors.ts';
import { Cut, type Received } from './exchange.ts';
import { jsonObjectIn } from './json.ts';
import { redact } from './redaction.ts';
import { retryAfterOf } from './retry_after.ts';
import type { Verdict } from './verification.ts';

/** What a classification knows of the call beside its answer. */
export interface CallFacts {
  /** Host and port. */
  host: string;
  /** Personal values and secrets, to be cut out of messages. */
  hidden: readonly string[];
  /** Unix milliseconds. */
  now: number;
}

// Which failures of `fetch` are certain to come before a byte of the request was sent. A reset connection never is: a
// server that closes a kept-alive connection looks the same whether it has read the request or not.
const RESOLVING: ReadonlySet<unknown> = new Set(['ENOTFOUND', 'EAI_AGAIN']);
const CONNECTING: ReadonlySet<unknown> = new Set(['ECONNREFUSED', 'UND_ERR_CONNECT_TIMEOUT']);
// These come from reading and writing as well, so the system call must be `connect`.
const CONNECTING_IF_SAID: ReadonlySet<unknown> = new Set(['EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT', 'EADDRNOTAVAIL']);

/** The error of a call that got no whole answer. `failure` is what `exchange` rejected with. */
export function errorOfFailure(failure: unknown, { host }: CallFacts): WechatPayError {
  if (failure instanceof Cut)
    return new UnknownOutcomeError(`${failure.message} (${host})`, { reason: failure.reason, host });
  const cause = causeOf(failure);
  const code = typeof cause.code === 'string' ? cause.code : 'no code';
  return neverSent(cause)
    ? new NoEffectError(`no connection to ${host} (${code})`, { reason: 'not-connected', host })
    : new UnknownOutcomeError(`no answer from ${host} (${code})`, { reason: 'no-answer', host });
}

interface SystemError {
  code?: unknown;
  syscall?: unknown;
  errors?: unknown;
}

// fetch rejects with a bare TypeError and hides the socket's error in its cause.
function causeOf(failure: unknown): SystemError {
  const nested = failure instanceof Error && failure.cause !== undefined ? failure.cause : failure;
  return typeof nested === 'object' && nested !== null ? nested : {};
}

function neverSent({ code, syscall, errors }: SystemError): boolean {
  // A host with several addresses fails with one error for each.
  if (Array.isArray(errors)) return errors.length > 0 && errors.every((error) => neverSent(causeOf(error)));
  return RESOLVING.has(code) || CONNECTING.has(code) || (CONNECTING_IF_SAID.has(code) && syscall === 'connect');
}

// Throttling is 429; older pages and gateways of WeChat Pay's give its codes with 403, each in a spelling of its own.
const THROTTLED = /^(FREQUENCY_?LIMIT|RATE_?LIMIT)(ED|_?EXCEED(ED)?)$/;

/**
 * The error of a whole answer that is no success, by the outcome table. An answer with a wrong signature proves
 * nothing, whatever it says. An unsigned one proves only what no box in between could say in WeChat Pay's place: 401,
 * and 429, which a box answers instead of passing the call on.
 */
export function errorOfAnswer(answer: Received, verdict: Verdict, facts: CallFacts): WechatPayError {
  const { status } = answer;
  const { code, message } = errorBody(answer.body, facts.hidden);
  const request_id = requestId(answer.headers);
  const details = { status, code, request_id, host: facts.host, retry_after_ms: retryAfter(answer.headers, facts.now) };
  const said = message || `WeChat Pay answered ${status}`;
  if (!verdict.signed && (verdict.reason !== 'unsigned' || status < 300))
    return unproven(answer, facts, verdict.reason, verdict.message);
  if (status === 429 || (verdict.signed && code !== undefined && THROTTLED.test(code)))
    return new NoEffectError(said, { ...details, reason: 'throttled' });
  if (status === 401) return new MerchantFaultError(said, { ...details, reason: 'signature-refused' });
  if (status < 400 || status >= 500) return new UnknownOutcomeError(said, { ...details, reason: beyond(status) });
  if (!verdict.signed)
    return new UnknownOutcomeError(`an unsigned ${status} proves nothing: ${said}`, { ...details, reason: 'unsigned' });
  if (status === 403 && code === 'NO_AUTH')
    return new MerchantFaultError(said, { ...details, reason: 'no-permission' });
  return new RefusedError(said, { ...details, reason: status === 404 ? 'not-found' : 'refused' });
}

/** The error of an answer that says something, but does not prove it: forged, stale, or not what was asked for. */
function unproven(
  { status, headers }: Received,
  { host }: CallFacts,
  reason: ErrorDetails['reason'],
  why: string,
): UnknownOutcomeError {
  return new UnknownOutcomeError(`an answer ${status} that proves nothing: ${why}`, {
    reason,
    status,
    host,
    request_id: requestId(headers),
  });
}

/**
 * The policy that a signed 2xx confirms. 202 says that a call will be looked at, not that it was done, and every answer
 * that carries a policy carries its state.
 * @throws {UnknownOutcomeError} where the answer does not carry the policy that was asked for
 */
export function confirmedPolicy(
  answer: Received,
  out_insurance_no: string,
  facts: CallFacts,
): Readonly<Record<string, unknown>> {
  const doubt = (reason: ErrorDetails['reason'], why: string): never => {
    throw unproven(answer, facts, reason, why);
  };
  if (answer.status !== 200 && answer.status !== 201)
    return doubt('unexpected-status', 'it does not say that anything was done');
  const policy = jsonObjectIn(answer.body);
  if (!policy) return doubt('not-a-policy', 'its body is not a JSON object, or nests too deep');
  if (policy.out_insurance_no !== out_insurance_no)
    return doubt('other-policy', 'it is of another out_insurance_no than asked for');
  return typeof policy.policy_state === 'string' ? policy : doubt('not-a-policy', 'it has no policy_state');
}

function beyond(status: number): ErrorDetails['reason'] {
  if (status >= 500) return 'server-error';
  return status >= 300 ? 'redirect' : 'unexpected-status';
}

function errorBody(body: Buffer, hidden: readonly string[]): { code?: string | undefined; message?: string } {
  const { code, message } = jsonObjectIn(body) ?? {};
  return {
    code: typeof code === 'string' && /^\w{1,64}$/.test(code) ? code : undefined,
    ...(typeof message === 'string' && { message: redact(message, hidden) }),
  };
}

/** `Request-ID` of an answer, the first of several, where it is one that can be shown. */
export function requestId(headers: Headers): string | undefined {
  const ids = headers.get('request-id')?.split(',') ?? [];
  return ids.map((id) => id.trim()).find((id) => /^[\x21-\x7e]{1,128}$/.test(id));
}

const HOUR = 3_600_000;

// An hour at most: a 429 need not be signed, and must not hold a policy for longer than rounds back off to.
function retryAfter(headers: Headers, now: number): number | undefined {
  const ms = retryAfterOf(headers, now);
  return ms === undefined ? undefined : Math.min(Math.max(ms, 0), HOUR);
}
