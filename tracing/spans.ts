import { type Context, context, type Span, type SpanOptions, SpanStatusCode, trace } from '@opentelemetry/api';

// Of OpenTelemetry the code knows the API alone, which does nothing until a program registers an SDK: ours does by
// `tracing/exporting.ts`, a program that uses the library by its own.

/** What a span may say: nothing personal, and no text that somebody else wrote. */
export type Attributes = NonNullable<SpanOptions['attributes']>;

interface Spanned {
  /** @default what is active */
  parent?: Context;
  /** Whether what `work` throws is no error to people. */
  isExpected?: (error: unknown) => boolean;
}

const tracer = trace.getTracer('wechatpay-policy-sync');

/** Does `work` within a span. Of what it throws a word is noted. */
export function spanned<T>(
  name: string,
  options: SpanOptions,
  work: (span: Span) => Promise<T>,
  { parent = context.active(), isExpected = () => false }: Spanned = {},
): Promise<T> {
  return tracer.startActiveSpan(name, options, parent, async (span) => {
    try {
      return await work(span);
    } catch (error) {
      if (!isExpected(error)) failed(span, wordOf(error));
      throw error;
    } finally {
      span.end();
    }
  });
}

/** A span whose work is no one function: who asks for it ends it. */
export function startSpan(name: string, options: SpanOptions, parent: Context): Span {
  return tracer.startSpan(name, options, parent);
}

/** @param word such as the name of a rule, or a status */
export function failed(span: Span, word: string): void {
  span.setAttribute('error.type', word).setStatus({ code: SpanStatusCode.ERROR });
}

const WORD = /^[\w.-]{1,60}$/;

/** A rule, a reason or the name of the error. Its message stays out: it may quote anything. */
function wordOf(error: unknown): string {
  const { rule, reason, name } = Object(error) as Record<string, unknown>;
  return [rule, reason, name].find((word): word is string => typeof word === 'string' && WORD.test(word)) ?? 'error';
}
