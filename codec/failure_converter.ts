import { ApplicationFailure, DefaultFailureConverter, type PayloadConverter } from '@temporalio/common';

type Failure = ReturnType<DefaultFailureConverter['errorToFailure']>;

/** What a quiet verification says (`quiet` of activities/failure.ts): how the policy stands, and two times. */
const QUIET = /^(OK|[A-Z]{4,8})(, not recorded)?: verified at [-\dT:+]{25}, next at [-\dT:+]{25}$/;

/**
 * Puts messages and stack traces of failures where the payload codec seals them, but for what a quiet verification says:
 * people read it in the Temporal UI as the last failure of a pending activity, with or without a codec server.
 */
class FailureConverter extends DefaultFailureConverter {
  constructor() {
    super({ encodeCommonAttributes: true });
  }

  override errorToFailure(error: unknown, converter: PayloadConverter): Failure {
    const { encodedAttributes, ...failure } = super.errorToFailure(error, converter);
    if (error instanceof ApplicationFailure && QUIET.test(error.message)) return { ...failure, message: error.message };
    // The UI shows this beside what it opened. A failure's type is no secret.
    const type = error instanceof ApplicationFailure ? error.type : undefined;
    return { ...failure, encodedAttributes, message: `${type ?? 'failure'}: sealed` };
  }
}

export const failureConverter = new FailureConverter();
