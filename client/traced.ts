import { SpanKind } from '@opentelemetry/api';
import type { WorkflowClientInterceptor } from '@temporalio/client';
import { defaultPayloadConverter, type Headers } from '@temporalio/common';
import { carrierOfNow } from '../tracing/carrier.ts';
import { spanned } from '../tracing/spans.ts';
import { type Answer, TRACE_HEADER } from '../workflows/messages.ts';

/** Sends a message within a span of its name. */
export function traced<T extends Partial<Answer> | undefined>(
  message: string,
  workflowId: string,
  send: () => Promise<T>,
): Promise<T> {
  const attributes = { 'policy_sync.message': message, 'temporal.workflow_id': workflowId };
  return spanned(`policy-sync ${message}`, { kind: SpanKind.CLIENT, attributes }, async (span) => {
    const answer = await send();
    span.setAttributes({ 'policy_sync.outcome': answer?.outcome, 'policy_sync.revision': answer?.revision });
    return answer;
  });
}

/** Takes the active span along, in the headers of the messages that may lead to a call. Without a span it changes nothing. */
export const tracedMessages: WorkflowClientInterceptor = {
  startUpdate: (input, next) => next({ ...input, headers: withTrace(input.headers) }),
  startUpdateWithStart: (input, next) =>
    next({
      ...input,
      workflowStartHeaders: withTrace(input.workflowStartHeaders),
      updateHeaders: withTrace(input.updateHeaders),
    }),
  signal: (input, next) => next({ ...input, headers: withTrace(input.headers) }),
};

function withTrace(headers: Headers): Headers {
  const carrier = carrierOfNow();
  return carrier ? { ...headers, [TRACE_HEADER]: defaultPayloadConverter.toPayload(carrier) } : headers;
}
