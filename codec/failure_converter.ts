import { DefaultFailureConverter } from '@temporalio/common';

/** Puts messages and stack traces of failures where the payload codec seals them. */
export const failureConverter = new DefaultFailureConverter({ encodeCommonAttributes: true });
