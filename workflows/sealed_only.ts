import { patched, type WorkflowInboundCallsInterceptor, type WorkflowInterceptors } from '@temporalio/workflow';
import { PLAIN } from './refusal.ts';

// In the bundle only where payload keys are set and nothing in the clear is taken. A message with no payload at all is
// in the clear, too: nobody needs a key to send one, and a `cancel` without any says that the user surrenders.

const inbound: WorkflowInboundCallsInterceptor = {
  validateUpdate: (input, next) => next({ ...input, args: heard(input.args) }),
  handleSignal: (input, next) => {
    // Histories from before must go on as they were; the marker costs an event only where a message was empty.
    const ignored = isEmpty(input.args) && patched('empty-signal-is-plain');
    return next(ignored ? { ...input, args: [PLAIN] } : input);
  },
};

function heard(args: unknown[]): unknown[] {
  return isEmpty(args) ? [PLAIN] : args;
}

function isEmpty([message]: unknown[]): boolean {
  return message === undefined || message === null;
}

/** Found by the SDK under this name. */
export const interceptors = (): WorkflowInterceptors => ({ inbound: [inbound] });
