import { type Span, SpanKind } from '@opentelemetry/api';
import {
  ApplicationFailure,
  ApplicationFailureCategory,
  defaultPayloadConverter,
  type Headers,
} from '@temporalio/common';
import type { ActivityInterceptorsFactory } from '@temporalio/worker';
import { parentIn } from '../tracing/carrier.ts';
import { type Attributes, spanned } from '../tracing/spans.ts';
import { TRACE_HEADER } from '../workflows/messages.ts';

/** A span for each attempt of an activity: a child of the message that led to it, or the first of a trace of its own. */
export const tracedActivities: ActivityInterceptorsFactory = ({ info }) => ({
  inbound: {
    execute: (input, next) => {
      const attributes: Attributes = {
        'temporal.workflow_id': info.workflowExecution?.workflowId,
        'temporal.run_id': info.workflowExecution?.runId,
        'temporal.activity_id': info.activityId,
        'temporal.attempt': info.attempt,
      };
      const options = { kind: SpanKind.CONSUMER, attributes };
      return spanned(`activity ${info.activityType}`, options, (span) => outcomeTold(span, () => next(input)), {
        parent: parentIn(carrierIn(input.headers)),
        isExpected,
      });
    },
  },
});

/** What somebody put there who sends messages in another way is looked at like any other input. */
function carrierIn({ [TRACE_HEADER]: payload }: Headers): unknown {
  try {
    return payload && defaultPayloadConverter.fromPayload(payload);
  } catch {
    return undefined;
  }
}

async function outcomeTold<T>(span: Span, run: () => Promise<T>): Promise<T> {
  try {
    const result = await run();
    const { outcome, code, request_id } = Object(result) as Record<string, string | undefined>;
    span.setAttributes({
      'policy_sync.outcome': outcome,
      'policy_sync.code': code,
      'policy_sync.request_id': request_id,
    });
    return result;
  } catch (error) {
    if (error instanceof ApplicationFailure) span.setAttribute('policy_sync.outcome', error.type ?? 'failed');
    throw error;
  }
}

/** The server tries again, as it was told to: a verification that found nothing, a call that waits. */
function isExpected(error: unknown): boolean {
  return error instanceof ApplicationFailure && error.category === ApplicationFailureCategory.BENIGN;
}
