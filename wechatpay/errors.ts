/** What a failed call says about WeChat Pay's copy of the policy: one for each row of the outcome table. */
export type Outcome = 'no-effect' | 'unknown' | 'refused' | 'merchant-fault';

/** Why, in a word that callers can branch on. */
export type Reason =
  | 'throttled'
  | 'not-connected'
  | 'aborted'
  | 'time-out'
  | 'no-answer'
  | 'too-large'
  | 'redirect'
  | 'server-error'
  | 'unexpected-status'
  | 'unsigned'
  | 'unknown-serial'
  | 'wrong-signature'
  | 'stale'
  | 'not-a-policy'
  | 'other-policy'
  | 'refused'
  | 'not-found'
  | 'name-too-long'
  | 'signature-refused'
  | 'no-permission'
  | 'unusable-settings';

export interface ErrorDetails {
  reason: Reason;
  /** HTTP status, when there was an answer. */
  status?: number | undefined;
  /** WeChat Pay's `code`, such as `PARAM_ERROR`. From an unsigned answer it is only a hint. */
  code?: string | undefined;
  /** `Request-ID` of the answer: what WeChat Pay's support asks for. */
  request_id?: string | undefined;
  /** Host and port that the call went to. */
  host?: string | undefined;
  /** What `Retry-After` asked for, in milliseconds from now, an hour at most. */
  retry_after_ms?: number | undefined;
}

/**
 * Base of every error that a call rejects with, but for a call that breaks the client's own rules (`RuleViolation`).
 *
 * `message` is one line of at most 300 characters without control characters. What the call sent or knew of a personal
 * kind is cut out of it; keys, nonces, signatures and headers never go in, and no `cause` is attached, so an error can be
 * logged and stored as it is.
 */
export abstract class WechatPayError extends Error {
  abstract override readonly name: string;
  abstract readonly outcome: Outcome;
  readonly reason: Reason;
  readonly status: number | undefined;
  readonly code: string | undefined;
  readonly request_id: string | undefined;
  readonly host: string | undefined;
  readonly retry_after_ms: number | undefined;

  constructor(message: string, details: ErrorDetails) {
    super(message);
    this.reason = details.reason;
    this.status = details.status;
    this.code = details.code;
    this.request_id = details.request_id;
    this.host = details.host;
    this.retry_after_ms = details.retry_after_ms;
  }
}

/**
 * The call certainly changed nothing: it was throttled, never got a connection, or was aborted before it began. The same
 * call may be made again, signed anew, not before `retry_after_ms`.
 */
export class NoEffectError extends WechatPayError {
  override readonly name = 'NoEffectError';
  readonly outcome = 'no-effect';
}

/**
 * The call may have taken effect or not: no whole answer came, or one that proves nothing. Query the policy before
 * anything else is sent. For a query itself, which changes nothing, it only means "again".
 */
export class UnknownOutcomeError extends WechatPayError {
  override readonly name = 'UnknownOutcomeError';
  readonly outcome = 'unknown';
}

/** WeChat Pay refused the call, and signed that it did. The same values will be refused again. */
export class RefusedError extends WechatPayError {
  override readonly name = 'RefusedError';
  readonly outcome = 'refused';

  /** WeChat Pay knows no policy of this number. */
  get notFound(): boolean {
    return this.reason === 'not-found';
  }
}

/**
 * Keys, permission or clock of the merchant are at fault, not this policy: every call of the merchant's will fail alike.
 * Nothing took effect. WeChat Pay does not sign a 401 to whom it does not know, so this one can come unsigned.
 */
export class MerchantFaultError extends WechatPayError {
  override readonly name = 'MerchantFaultError';
  readonly outcome = 'merchant-fault';
}
