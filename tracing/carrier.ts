import { type Context, context, propagation, ROOT_CONTEXT } from '@opentelemetry/api';

/** What names a span to another program, such as `traceparent`. */
export type Carrier = Record<string, string>;

/** The active span, for another program; undefined where there is none. Baggage stays here: it may hold anything. */
export function carrierOfNow(): Carrier | undefined {
  const carrier: Carrier = {};
  propagation.inject(context.active(), carrier);
  delete carrier.baggage;
  return Object.keys(carrier).length > 0 ? carrier : undefined;
}

/** What another program named, as the parent of spans here. */
export function parentIn(carrier: unknown): Context {
  const { baggage: _baggage, ...named } = Object(carrier) as Carrier;
  return propagation.extract(ROOT_CONTEXT, named);
}
