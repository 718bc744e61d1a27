import type { WorkflowInboundCallsInterceptor, WorkflowInterceptors } from '@temporalio/workflow';
import { awaitKeys, awaitReadable } from './refusal.ts';

// What is sealed and does not open arrives marked. A start and an update are refused by the workflow: nothing is lost, and who sent it is
// told. What is in a history, and a signal, which can be refused to nobody, wait for a worker that has the keys.

const inbound: WorkflowInboundCallsInterceptor = {
  execute: (input, next) => {
    for (const arg of input.args) awaitReadable(arg);
    return next(input);
  },
  // Its validator has refused what is new.
  handleUpdate: (input, next) => {
    awaitKeys(input.args[0]);
    return next(input);
  },
  handleSignal: (input, next) => {
    awaitKeys(input.args[0]);
    return next(input);
  },
};

/** Found by the SDK under this name. */
export const interceptors = (): WorkflowInterceptors => ({ inbound: [inbound] });
