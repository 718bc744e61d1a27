import { ApplicationFailure, workflowInfo } from '@temporalio/workflow';
import { RuleViolation, refuse } from '../policy/violation.ts';
import { REFUSALS } from './messages.ts';

const UNFIT_MESSAGES = {
  plain: 'payload keys are set and this came in the clear: send it through a client with the keys',
  unreadable: 'a payload that cannot be read: expected JSON, as the client library and the Temporal CLI send it',
};

const UNFIT = Symbol.for('policy-sync/unfit');
/** In place of a message that came in the clear. */
export const PLAIN = Object.freeze({ [UNFIT]: 'plain' });

/**
 * The converter of `codec/` hands on an object with a mark for what it must not, or cannot, read.
 * @throws {RuleViolation} `plain-payload`, `unreadable-payload`
 */
export function refuseUnfit(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  const mark = (value as Record<symbol, unknown>)[UNFIT];
  if (mark === 'plain' || mark === 'unreadable') refuse(REFUSALS[mark], UNFIT_MESSAGES[mark]);
}

/** @throws {RuleViolation} `workflow-id`: somebody started a policy under another's name. */
export function checkId(expected: string): void {
  const { workflowId } = workflowInfo();
  if (workflowId !== expected) refuse('workflow-id', `expected the workflow id ${expected}, found ${workflowId}`);
}

/** The number is taken by another record. */
export function existing(): ApplicationFailure {
  const message = `${workflowInfo().workflowId} exists with another record; amend it`;
  return ApplicationFailure.nonRetryable(message, REFUSALS.exists);
}

/** A message taken while the run is being stopped would be answered and then left lying until somebody resumes. */
export function stopping(): ApplicationFailure {
  return ApplicationFailure.nonRetryable('this policy is being stopped; resume it once it has', REFUSALS.stopped);
}

/** Nobody can say now what WeChat Pay holds. */
export function unavailable(message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, REFUSALS.unavailable);
}

/** A rule broken, as a failure whose type is the rule; anything else as it is: a bug must retry, not refuse. */
export function failure(error: unknown): ApplicationFailure {
  if (!(error instanceof RuleViolation)) throw error;
  const { message, rule, violations } = error;
  return ApplicationFailure.create({ message, type: rule, nonRetryable: true, details: [violations] });
}
