import {
  ApplicationFailure,
  type Client,
  isGrpcCancelledError,
  isGrpcDeadlineError,
  isGrpcServiceError,
  NamespaceNotFoundError,
  QueryNotRegisteredError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import type { Violation } from '../policy/violation.ts';
import { REFUSALS } from '../workflows/messages.ts';
import {
  type Ending,
  NotBegun,
  PolicyEnded,
  PolicyRefused,
  PolicySyncError,
  ServerRefused,
  ServerUnreachable,
  Unavailable,
  UnknownPolicy,
} from './errors.ts';

/** What was asked of Temporal, for the words of an error. */
export interface Asked {
  client: Client;
  /** The policy's workflow; absent where the question was about none. */
  workflowId?: string;
  /** In ms: how long an answer was waited for. */
  timeout: number;
}

// gRPC's status codes (grpc/statuscodes.md); the SDK re-exports none of them.
const FAILED_PRECONDITION = 9;
const UNAVAILABLE = 14;

const LOOK_MS = 3_000;
/** Type of the failure of an update that had not ended when its workflow did (temporal: workflow/update). */
const OUTLIVED = 'AcceptedUpdateCompletedWorkflow';
/** Rule by which a restart is refused whose record MongoDB has not got. */
const UNKNOWN = 'unknown-policy';

/**
 * The error of ours for one of the SDK's; anything else comes back as it is. Asks the server once more where the SDK's
 * error leaves open what is the matter: a policy unknown or ended, no worker or no server.
 */
export async function explained(error: unknown, asked: Asked): Promise<unknown> {
  if (error instanceof PolicySyncError) return error;
  if (error instanceof WorkflowUpdateFailedError) return refusal(error, asked);
  if (error instanceof WorkflowExecutionAlreadyStartedError || error instanceof WorkflowNotFoundError)
    return gone(error, asked);
  if (error instanceof NamespaceNotFoundError)
    return new ServerRefused(`Temporal has no namespace ${error.namespace}: create it, or set TEMPORAL_NAMESPACE`, {
      cause: error,
    });
  // The answer of a query that fails, too: `status` does before the policy's record is there.
  if (error instanceof QueryNotRegisteredError)
    return new NotBegun(`${numberIn(asked.workflowId ?? '')} has not begun yet; try again`, { cause: error });
  // A deadline that passes while the SDK waits to try again comes as CANCELLED (seen with a query that no worker answers).
  if (
    error instanceof WorkflowUpdateRPCTimeoutOrCancelledError ||
    isGrpcDeadlineError(error) ||
    isGrpcCancelledError(error)
  )
    return unanswered(error, asked);
  return serverError(error, asked);
}

async function refusal(error: WorkflowUpdateFailedError, asked: Asked): Promise<unknown> {
  const failure = error.cause;
  if (!(failure instanceof ApplicationFailure)) return error;
  const { type: rule, message } = failure;
  if (rule === OUTLIVED) return gone(error, asked);
  if (rule === REFUSALS.ended) return new PolicyEnded(message, undefined, { cause: error });
  if (rule === UNKNOWN) return new UnknownPolicy(message, { cause: error });
  if (rule === REFUSALS.unavailable) return new Unavailable(message, { cause: error });
  return new PolicyRefused(rule ?? 'refused', message, violationsIn(failure), { cause: error });
}

function violationsIn(failure: ApplicationFailure): readonly Violation[] | undefined {
  const found = failure.details?.find((detail): detail is Violation[] => Array.isArray(detail) && detail.length > 0);
  return found?.every((one) => typeof one?.rule === 'string') ? found : undefined;
}

const ENDINGS: Record<string, { ending: Ending; words: string }> = {
  COMPLETED: { ending: 'COMPLETED', words: 'its life is over; an INACTIVE policy can be reinstated' },
  CANCELLED: { ending: 'CANCELLED', words: 'syncing was stopped; `resume` goes on with it' },
  FAILED: { ending: 'FAILED', words: 'its workflow failed; Temporal shows why' },
  TERMINATED: { ending: 'TERMINATED', words: 'its workflow was terminated; `resume` goes on with it' },
  TIMED_OUT: { ending: 'TIMED_OUT', words: 'its workflow timed out; `resume` goes on with it' },
};

/** A workflow that takes no messages: not there, or closed. Its description tells. */
async function gone(cause: Error, { client, workflowId = '' }: Asked): Promise<unknown> {
  const name = numberIn(workflowId);
  try {
    const handle = client.workflow.getHandle(workflowId);
    const { status } = await client.withDeadline(Date.now() + LOOK_MS, () => handle.describe());
    const known = ENDINGS[status.name];
    if (!known) return new Unavailable(`${name}: its workflow is just starting anew; try again`, { cause });
    return new PolicyEnded(`${name} has ended: ${known.words}`, known.ending, { cause });
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) return cause;
    return new UnknownPolicy(`${name}: no such policy is known to Temporal; open it first`, { cause });
  }
}

/** `1900000001/AB12` of `policy/1900000001/AB12`. */
function numberIn(workflowId: string): string {
  return workflowId.replace(/^policy\//, '');
}

async function unanswered(cause: unknown, asked: Asked): Promise<unknown> {
  try {
    await asked.client.withDeadline(Date.now() + Math.min(LOOK_MS, asked.timeout), () =>
      asked.client.workflowService.getSystemInfo({}).then(() => undefined),
    );
  } catch {
    // Whatever it was, the server does not answer.
    return unreachable(cause, asked.client);
  }
  return noWorker(`no worker answered within ${asked.timeout / 1000} s`, cause);
}

function noWorker(what: string, cause: unknown): Unavailable {
  return new Unavailable(
    `${what}: start one with \`policy-sync worker\`, on its first start with --promote; what was sent may still take effect`,
    { cause },
  );
}

/** @param client names the address, where its connection tells it */
export function unreachable(cause: unknown, client?: Client | { address: string }): ServerUnreachable {
  const connection =
    client && 'connection' in client ? (client.connection as { options?: { address?: string } }) : null;
  const address = connection ? connection.options?.address : (client as { address: string } | undefined)?.address;
  const where = address ? ` at ${address}` : '';
  return new ServerUnreachable(
    `the Temporal server${where} does not answer: start it (\`npm start\` brings one), or set TEMPORAL_ADDRESS`,
    { cause },
  );
}

function serverError(error: unknown, asked: Asked): unknown {
  const inner = error instanceof Error && !isGrpcServiceError(error) ? error.cause : error;
  if (!isGrpcServiceError(inner)) return error;
  if (inner.code === UNAVAILABLE) return unreachable(error, asked.client);
  if (inner.code === FAILED_PRECONDITION) return noWorker(oneLine(inner.details), error);
  return new ServerRefused(`Temporal refuses: ${oneLine(inner.details)}`, { cause: error });
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, 300);
}
