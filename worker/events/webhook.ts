import { createHmac } from 'node:crypto';
import type { StoredDelivery } from '../../storage/documents.ts';
import { retryAfterOf } from '../../wechatpay/retry_after.ts';
import type { Endpoint } from './endpoints_file.ts';

/** How long an endpoint has for its answer; Standard Webhooks says 15 to 30 s. */
const ANSWER_MS = 20_000;

/** What an attempt came to. `reason`: one word or two, nothing of what the endpoint said. */
export type Sent =
  | { outcome: 'taken' }
  | { outcome: 'gone' | 'not-taken'; reason: string; retry_after_ms?: number }
  /** We are shutting down: nobody knows whether it was taken. */
  | { outcome: 'given-up' };

/** A way out for events: HTTP is one, a log of messages could be another. One attempt; it never throws. */
export type Sink = (delivery: StoredDelivery, at: Date, signal: AbortSignal) => Promise<Sent>;

/** An event as it is posted. */
export function bodyOf({ type, at, mchid, out_insurance_no, sequence, told }: StoredDelivery): string {
  return JSON.stringify({
    type,
    timestamp: at.toISOString(),
    data: { mchid, out_insurance_no, sequence, ...told },
  });
}

/** The headers of Standard Webhooks; each secret signs. */
export function signedHeaders(id: string, at: Date, body: string, secrets: readonly Buffer[]): Record<string, string> {
  const seconds = Math.floor(at.getTime() / 1000);
  const signature = (secret: Buffer): string =>
    `v1,${createHmac('sha256', secret).update(`${id}.${seconds}.${body}`).digest('base64')}`;
  return {
    'webhook-id': id,
    'webhook-timestamp': String(seconds),
    'webhook-signature': secrets.map(signature).join(' '),
  };
}

/** Posts to an endpoint. A redirect is not followed: the signed body goes to nobody that the file does not name. */
export function webhook({ url, secrets }: Pick<Endpoint, 'url' | 'secrets'>, answerMs = ANSWER_MS): Sink {
  return async (delivery, at, signal) => {
    const body = bodyOf(delivery);
    const late = AbortSignal.timeout(answerMs);
    try {
      const response = await fetch(url, {
        method: 'POST',
        body,
        headers: {
          'content-type': 'application/json',
          'user-agent': 'wechatpay-policy-sync',
          ...signedHeaders(delivery.event, at, body, secrets),
        },
        redirect: 'manual',
        signal: AbortSignal.any([late, signal]),
      });
      await response.body?.cancel().catch(() => {});
      return sentBy(response, at);
    } catch (error) {
      if (signal.aborted) return { outcome: 'given-up' };
      return { outcome: 'not-taken', reason: late.aborted ? 'time-out' : reasonOf(error) };
    }
  };
}

function sentBy({ status, headers }: Response, now: Date): Sent {
  if (status >= 200 && status < 300) return { outcome: 'taken' };
  const reason = `status ${status}`;
  if (status === 410) return { outcome: 'gone', reason };
  const asked = retryAfterOf(headers, now.getTime()) ?? 0;
  return { outcome: 'not-taken', reason, ...(asked > 0 && { retry_after_ms: asked }) };
}

/** The system's code: a message may quote the URL. */
function reasonOf(error: unknown): string {
  const { cause } = error as { cause?: { code?: unknown } };
  return typeof cause?.code === 'string' ? cause.code : 'no connection';
}
