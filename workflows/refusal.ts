import { ApplicationFailure, workflowInfo } from '@temporalio/workflow';
import { RuleViolation, refuse } from '../policy/violation.ts';
import { REFUSALS } from './messages.ts';

const UNFIT_MESSAGES = {
  plain: 'payload keys are set and this came in the clear: send it through a client with the keys',
  unreadable: 'a payload that cannot be read: expected JSON, as the client library and the Temporal CLI send it',
};

const UNFIT = Symbol.for('policy-sync/unfit');
type Mark = keyof typeof UNFIT_MESSAGES | 'locked';

/** In place of a message that came in the clear. */
export const PLAIN = Object.freeze({ [UNFIT]: 'plain' });

/** The mark of the object that the converter of `codec/` hands on for what it must not, or cannot, read. */
function markOf(value: unknown): Mark | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  return (value as { [UNFIT]?: Mark })[UNFIT];
}

/** @throws {RuleViolation} `plain-payload`, `unreadable-payload`, `locked-payload` */
export function refuseUnfit(value: unknown): void {
  const mark = markOf(value);
  if (mark === 'locked') refuse(REFUSALS.locked, `${whyLocked(value)}; or seal it with a key that the workers have`);
  else if (mark !== undefined) refuse(REFUSALS[mark], UNFIT_MESSAGES[mark]);
}

/**
 * What was taken once and does not open now waits for a worker that has the keys.
 * @throws {Error} that fails the workflow task, which the server then tries again
 */
export function awaitKeys(value: unknown): void {
  if (markOf(value) === 'locked') throw new Error(whyLocked(value));
}

/**
 * What a run was started with, where it is no first act: a policy that lives is never refused for what a worker cannot read.
 * @throws {Error} that fails the workflow task, which the server then tries again
 */
export function awaitReadable(value: unknown): void {
  const { continuedFromExecutionRunId, unsafe } = workflowInfo();
  if (unsafe.isReplaying) awaitKeys(value);
  const mark = continuedFromExecutionRunId === undefined ? undefined : markOf(value);
  if (mark !== undefined) throw new Error(mark === 'locked' ? whyLocked(value) : UNFIT_MESSAGES[mark]);
}

function whyLocked(value: unknown): string {
  return (value as { why?: string }).why ?? 'what is sealed does not open';
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

/** Why a number on record cannot be lived here; `namespace`: the one that keeps it, where it is another. */
export function keptBy(namespace: string | undefined): string {
  return namespace === undefined
    ? 'is kept by another life'
    : `is kept in the Temporal namespace ${namespace}, as its record in MongoDB says: set TEMPORAL_NAMESPACE`;
}

/** A message taken while the run is being stopped would be answered and then left lying until somebody resumes. */
export function stopping(): ApplicationFailure {
  return ApplicationFailure.nonRetryable('this policy is being stopped; resume it once it has', REFUSALS.stopped);
}

/** Nobody can say now what WeChat Pay holds. */
export function unavailable(message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, REFUSALS.unavailable);
}

/** A rule broken, as a failure whose type is the rule; rethrows anything else. In a handler that fails the workflow task, which is tried again. */
export function failure(error: unknown): ApplicationFailure {
  if (!(error instanceof RuleViolation)) throw error;
  const { message, rule, violations } = error;
  return ApplicationFailure.create({ message, type: rule, nonRetryable: true, details: [violations] });
}
