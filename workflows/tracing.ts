import type { Headers, WorkflowInterceptors } from '@temporalio/workflow';
import { TRACE_HEADER } from './messages.ts';

/**
 * Hands the trace of the newest message on to the activities that it leads to, in Temporal's headers, unread. It makes no span, asks
 * for no time, and nothing depends on it; a replay does not compare headers. So a history with traces and one without are the
 * same to every worker. What comes once nothing is left to send, which is when it verifies, is no message's work.
 *
 * Found by the SDK under this name.
 */
export const interceptors = (): WorkflowInterceptors => {
  let cause: Headers[string] | undefined;
  const withCause = (headers: Headers): Headers => (cause ? { ...headers, [TRACE_HEADER]: cause } : headers);
  return {
    inbound: [
      {
        execute: (input, next) => {
          // The message that came with the start was heard already.
          cause ??= input.headers[TRACE_HEADER];
          return next(input);
        },
        handleUpdate: (input, next) => {
          cause = input.headers[TRACE_HEADER];
          return next(input);
        },
        handleSignal: (input, next) => {
          cause = input.headers[TRACE_HEADER];
          return next(input);
        },
      },
    ],
    outbound: [
      {
        scheduleActivity: (input, next) => {
          if (input.activityType === 'verify') cause = undefined;
          return next({ ...input, headers: withCause(input.headers) });
        },
        scheduleLocalActivity: (input, next) => next({ ...input, headers: withCause(input.headers) }),
      },
    ],
  };
};
