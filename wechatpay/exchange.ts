import { SpanKind } from '@opentelemetry/api';
import ky from 'ky';
import { failed, spanned } from '../tracing/spans.ts';

/** One HTTP request as it goes out: the body's bytes are those that were signed. */
export interface Outgoing {
  method: 'GET' | 'PATCH' | 'POST';
  url: URL;
  headers: Record<string, string>;
  /** Empty for none. */
  body: Buffer;
}

/** One whole HTTP answer: its body read to the end, as bytes. */
export interface Received {
  status: number;
  headers: Headers;
  body: Buffer;
}

export interface ExchangeLimits {
  fetch?: typeof fetch | undefined;
  /** Milliseconds for headers and body together. */
  timeout: number;
  /** Bytes of an answer's body. */
  answerLimit: number;
  signal?: AbortSignal | undefined;
}

/** Why an exchange ended without a whole answer; what `fetch` itself rejects with is passed on as it is. */
export class Cut extends Error {
  override readonly name = 'Cut';
  readonly reason: 'time-out' | 'aborted' | 'too-large' | 'no-answer';

  constructor(reason: Cut['reason'], message: string) {
    super(message);
    this.reason = reason;
  }
}

/**
 * Sends one request and reads its answer; never a second request, neither as a retry nor after a redirect, which is
 * returned like any other answer. Rejects with `Cut`, or with `fetch`'s own error when no answer began.
 *
 * The one exception is `fetch`'s: an answer 421 makes it send the same bytes once more over another connection.
 */
export function exchange(outgoing: Outgoing, limits: ExchangeLimits): Promise<Received> {
  const { method, url } = outgoing;
  const { hostname, port, protocol } = url;
  const attributes = {
    'http.request.method': method,
    'server.address': hostname,
    'server.port': Number(port) || (protocol === 'https:' ? 443 : 80),
  };
  // The path names the policy; the span has it not. Nor does the request have a header of the span's: it goes to another house.
  return spanned(method, { kind: SpanKind.CLIENT, attributes }, async (span) => {
    const answer = await exchanged(outgoing, limits);
    span.setAttribute('http.response.status_code', answer.status);
    if (answer.status >= 400) failed(span, String(answer.status));
    return answer;
  });
}

async function exchanged(outgoing: Outgoing, limits: ExchangeLimits): Promise<Received> {
  const stop = new AbortController();
  const timer = setTimeout(
    () => stop.abort(new Cut('time-out', `no whole answer within ${limits.timeout} ms`)),
    limits.timeout,
  );
  const onAbort = (): void => stop.abort(new Cut('aborted', 'aborted by the caller while it was under way'));
  limits.signal?.addEventListener('abort', onAbort, { once: true });
  // Not left to `fetch`, which on some answers that are no HTTP settles neither way, aborted or not.
  const stopped = new Promise<never>((_, reject) => {
    stop.signal.addEventListener('abort', () => reject(stop.signal.reason), { once: true });
  });
  try {
    return await Promise.race([received(outgoing, limits, stop.signal), stopped]);
  } catch (cause) {
    throw stop.signal.aborted ? stop.signal.reason : cause;
  } finally {
    clearTimeout(timer);
    limits.signal?.removeEventListener('abort', onAbort);
  }
}

async function received(outgoing: Outgoing, limits: ExchangeLimits, signal: AbortSignal): Promise<Received> {
  const response = await send(outgoing, limits.fetch, signal);
  return { status: response.status, headers: response.headers, body: await bytesOf(response, limits.answerLimit) };
}

function send(outgoing: Outgoing, fetch: ExchangeLimits['fetch'], signal: AbortSignal): Promise<Response> {
  return ky(outgoing.url, {
    method: outgoing.method,
    headers: outgoing.headers,
    // ky keeps a copy of a request with a body, for a retry that is never made here: the bytes go past it, at half the cost.
    fetch: (request) => (fetch ?? globalThis.fetch)(request, outgoing.body.length > 0 ? { body: outgoing.body } : {}),
    retry: 0,
    throwHttpErrors: false,
    redirect: 'manual',
    // ky's own time-out ends with the headers; ours goes on to the end of the body.
    timeout: false,
    signal,
  });
}

async function bytesOf(response: Response, limit: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    // Leaving the loop early cancels the stream, which destroys the connection.
    for await (const chunk of response.body ?? []) {
      length += chunk.length;
      if (length > limit) throw new Cut('too-large', `an answer of more than ${limit} bytes`);
      chunks.push(chunk);
    }
  } catch (cause) {
    throw cause instanceof Cut ? cause : new Cut('no-answer', 'the connection was cut in the middle of the answer');
  }
  return Buffer.concat(chunks);
}
