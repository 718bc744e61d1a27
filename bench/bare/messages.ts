import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';

export const WORKFLOW_QUEUE = 'bare';
export const CALL_QUEUE = 'bare-calls';

/** Answered after an activity; a call follows. */
export const open = defineUpdate<unknown>('open');
/** Answered after the call that it is followed by. */
export const approve = defineUpdate<void>('approve');
/** A call follows. */
export const call = defineSignal('call');
/** When the last call began; 0 before the first. */
export const called = defineQuery<number>('called');
/** Answered at once; a call that carries it follows. */
export const change = defineUpdate<unknown, [fields: unknown]>('change');
