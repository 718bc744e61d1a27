import { context, type Span, SpanKind, trace } from '@opentelemetry/api';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { parentIn } from '../tracing/carrier.ts';
import { failed, startSpan } from '../tracing/spans.ts';

/** Asked again and again by machines. */
const UNTOLD = new Set(['/healthz', '/readyz']);

/** A span for each request: a child of the one that the caller's `traceparent` names. The path's pattern, never the path. */
export function traceRequests(app: FastifyInstance): void {
  const spans = new WeakMap<FastifyRequest, Span>();
  app.addHook('onRequest', async (request) => {
    const { method, headers, routeOptions } = request;
    const { url } = routeOptions;
    if (url !== undefined && UNTOLD.has(url)) return;
    const { traceparent, tracestate } = headers;
    const attributes = { 'http.request.method': method, ...(url !== undefined && { 'http.route': url }) };
    const name = url === undefined ? method : `${method} ${url}`;
    const parent = parentIn({ traceparent, tracestate });
    spans.set(request, startSpan(name, { kind: SpanKind.SERVER, attributes }, parent));
  });
  // Reading a body loses what was active before it.
  app.addHook('preHandler', (request, _reply, done) => {
    const span = spans.get(request);
    if (span) context.with(trace.setSpan(context.active(), span), done);
    else done();
  });
  app.addHook('onResponse', async (request, { statusCode }) => {
    const span = spans.get(request);
    span?.setAttribute('http.response.status_code', statusCode);
    if (span && statusCode >= 500) failed(span, String(statusCode));
    span?.end();
  });
}
