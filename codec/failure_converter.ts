import { ApplicationFailure, DefaultFailureConverter, type PayloadConverter } from '@temporalio/common';

type Failure = ReturnType<DefaultFailureConverter['errorToFailure']>;

/** Types of failures that tell of health (`well` of activities/failure.ts): times, and nothing of a policy. */
const HEALTHY = ['confirmed', 'verified'];

/**
 * Puts messages and stack traces of failures where the payload codec seals them, but for those that tell of health:
 * people read them in the Temporal UI as the last failure of a pending activity, with or without a codec server.
 */
class FailureConverter extends DefaultFailureConverter {
  constructor() {
    super({ encodeCommonAttributes: true });
  }

  override errorToFailure(error: unknown, converter: PayloadConverter): Failure {
    const failure = super.errorToFailure(error, converter);
    if (!isHealthy(error)) return failure;
    const { encodedAttributes: _sealed, ...clear } = failure;
    return { ...clear, message: error.message };
  }
}

function isHealthy(error: unknown): error is ApplicationFailure {
  return error instanceof ApplicationFailure && HEALTHY.includes(error.type ?? '') && error.message.startsWith('OK: ');
}

export const failureConverter = new FailureConverter();
