import {
  ApplicationFailure,
  type Client,
  isGrpcCancelledError,
  isGrpcDeadlineError,
  isGrpcServiceError,
  NamespaceNotFoundError,
  QueryNotRegisteredError,
  QueryRejectedError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { UnknownKey } from '../codec/keys.ts';
import { SealBroken } from '../codec/seal.ts';
import { standstillOf } from '../policy/standstill.ts';
import type { Violation } from '../policy/violation.ts';
import { REFUSALS, WORKFLOW_QUEUE } from '../workflows/messages.ts';
import {
  type Ending,
  InvalidSetting,
  NotBegun,
  PolicyEnded,
  PolicyRefused,
  PolicySyncError,
  ServerRefused,
  ServerUnreachable,
  Unavailable,
  UnknownPolicy,
} from './errors.ts';
import { fleetOf, STUCK_ATTEMPTS, standstill } from './fleet.ts';

/** What was asked of Temporal, for the words of an error. */
export interface Asked {
  client: Client;
  /** The policy's workflow; absent where the question was about none. */
  workflowId?: string;
  /** In ms: how long an answer was waited for. */
  timeout: number;
  /** Why an answer may be late, and what to do; by default it is a worker that lacks. */
  late?: string;
}

// gRPC's status codes (grpc/statuscodes.md); the SDK re-exports none of them.
const INVALID_ARGUMENT = 3;
const PERMISSION_DENIED = 7;
const RESOURCE_EXHAUSTED = 8;
const FAILED_PRECONDITION = 9;
const UNAVAILABLE = 14;
const UNAUTHENTICATED = 16;

/** The server has no code of its own for it: 1.32 says `Workflow is paused. Cannot update the workflow.` */
const PAUSED = /\bworkflow is paused\b/i;

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
  if (error instanceof UnknownKey || error instanceof SealBroken) return unreadable(error);
  if (error instanceof WorkflowUpdateFailedError) return refusal(error, asked);
  if (error instanceof WorkflowExecutionAlreadyStartedError || error instanceof WorkflowNotFoundError)
    return gone(error, asked);
  if (error instanceof NamespaceNotFoundError)
    return new ServerRefused(`Temporal has no namespace ${error.namespace}: create it, or set TEMPORAL_NAMESPACE`, {
      cause: error,
    });
  // The answer of a query that fails, too: `status` does before the policy's record is there.
  if (error instanceof QueryNotRegisteredError) return notBegun(error, asked);
  // We ask whatever the status is: only a paused workflow is never asked.
  if (error instanceof QueryRejectedError) return paused(error, asked);
  // A deadline that passes while the SDK waits to try again comes as CANCELLED (seen with a query that no worker answers).
  if (
    error instanceof WorkflowUpdateRPCTimeoutOrCancelledError ||
    isGrpcDeadlineError(error) ||
    isGrpcCancelledError(error)
  )
    return unanswered(error, asked);
  return serverError(error, asked);
}

/** What the workers sealed. */
function unreadable(error: UnknownKey | SealBroken): InvalidSetting {
  const found = error instanceof UnknownKey ? `no "${error.keyId}"` : `another: ${error.message}`;
  const text = `POLICY_SYNC_KEYS: expected the key that the workers seal with, found ${found}; set it as they have it`;
  return new InvalidSetting(text);
}

async function notBegun(cause: Error, asked: Asked): Promise<unknown> {
  const over = await gone(cause, asked);
  if (over instanceof PolicyEnded && over.ending === 'FAILED') return over;
  return new NotBegun(`${numberIn(asked.workflowId ?? '')} has not begun yet; try again`, { cause });
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

const ENDINGS: ReadonlySet<string> = new Set<Ending>(['COMPLETED', 'CANCELLED', 'FAILED', 'TERMINATED', 'TIMED_OUT']);

/** A workflow that takes no messages: not there, or closed. Its description tells. */
async function gone(cause: Error, { client, workflowId = '' }: Asked): Promise<unknown> {
  const name = numberIn(workflowId);
  try {
    const handle = client.workflow.getHandle(workflowId);
    const { status } = await client.withDeadline(Date.now() + LOOK_MS, () => handle.describe());
    if (!ENDINGS.has(status.name))
      return new Unavailable(`${name}: its workflow is just starting anew; try again`, { cause });
    const words = standstillOf(status.name)?.reason ?? 'its life is over; an INACTIVE policy can be reinstated';
    const why = status.name === 'FAILED' ? await failureOf(client, workflowId) : '';
    return new PolicyEnded(`${name} has ended: ${words}${why}`, status.name as Ending, { cause });
  } catch (error) {
    // The server may have gone since.
    if (!(error instanceof WorkflowNotFoundError)) return explained(error, { client, workflowId, timeout: LOOK_MS });
    return new UnknownPolicy(`${name}: no such policy is known to Temporal; open it first`, { cause });
  }
}

/** Why its last run failed, in brackets; nothing where that does not open. */
async function failureOf(client: Client, workflowId: string): Promise<string> {
  const result = client.withDeadline(Date.now() + LOOK_MS, () => client.workflow.getHandle(workflowId).result());
  const error: unknown = await result.catch((reason: unknown) => reason);
  const cause = error instanceof WorkflowFailedError ? error.cause : undefined;
  return cause instanceof ApplicationFailure ? ` (${cause.type}: ${oneLine(cause.message)})` : '';
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
  const time = `${asked.timeout / 1000} s`;
  // Where that cannot be seen either, nothing is lost but a better reason.
  const waits = await firstActWaits(asked).catch(() => undefined);
  if (waits !== undefined)
    return new Unavailable(
      `no answer within ${time}: a worker cannot begin the policy yet, and does once it can: ${waits}`,
      { cause },
    );
  const late = asked.workflowId === undefined ? 'the Temporal server is slow: try again, or wait longer' : asked.late;
  if (late) return new Unavailable(`no answer within ${time}: ${late}`, { cause });
  return noWorker(`no worker answered within ${time}`, cause, asked);
}

/** The first acts of a run: records that must be in MongoDB before anything else. */
const FIRST_ACTS: ReadonlySet<string> = new Set(['claim', 'restore']);

/** What hinders the first act of the policy's run, where a worker has taken it. */
async function firstActWaits({ client, workflowId, timeout }: Asked): Promise<string | undefined> {
  if (workflowId === undefined) return undefined;
  const { pendingCallsOf } = await import('./pending_call.ts');
  const { raw } = await client.withDeadline(Date.now() + Math.min(LOOK_MS, timeout), () =>
    client.workflow.getHandle(workflowId).describe(),
  );
  const pending = await pendingCallsOf(client, workflowId, raw.pendingActivities ?? []);
  const taken = pending.find(({ activity, running, attempt }) => FIRST_ACTS.has(activity) && (running || attempt > 1));
  return taken && (taken.last_failure ?? 'MongoDB has not answered yet; wait longer');
}

const START = 'start one with `policy-sync worker`, on its first start with --promote';

async function noWorker(what: string, cause: unknown, asked: Asked): Promise<Unavailable> {
  const { client } = asked;
  const look = (): Promise<string | undefined> => hindranceOf(asked);
  // Not to know why is no failure of its own.
  const why = await client.withDeadline(Date.now() + LOOK_MS, look).catch(() => undefined);
  return new Unavailable(`${what}: ${why ?? START}; what was sent may still take effect`, { cause });
}

/** Why a policy that is there does not answer, and what to do; undefined where nothing tells. */
async function hindranceOf({ client, workflowId }: Asked): Promise<string | undefined> {
  const idle = standstill(await fleetOf(client.workflowService, client.options.namespace));
  if (workflowId === undefined) return idle;
  const { taskQueue, raw } = await client.workflow.getHandle(workflowId).describe();
  if (taskQueue !== WORKFLOW_QUEUE)
    return `its workflow waits on the task queue "${taskQueue}", and workers poll "${WORKFLOW_QUEUE}": terminate it, and open it again`;
  if ((raw.pendingWorkflowTask?.attempt ?? 0) < STUCK_ATTEMPTS) return idle;
  return 'its workflow task fails again and again: `policy-sync audit` says why';
}

/** Names the address, where its connection tells it. */
type Server = Client | { address: string };

/** The error of ours for one of a connection that could not be made. */
export function notConnected(error: unknown, server: Server): PolicySyncError {
  return credentialsRefused(error, server) ?? unreachable(error, server);
}

function unreachable(cause: unknown, server: Server): ServerUnreachable {
  return new ServerUnreachable(
    `the Temporal server${placeOf(server)} does not answer: start it, or set TEMPORAL_ADDRESS`,
    { cause },
  );
}

/** `undefined` where it is about something else. */
function credentialsRefused(error: unknown, server: Server): ServerRefused | undefined {
  const answer = answerIn(error);
  if (answer?.code !== UNAUTHENTICATED && answer?.code !== PERMISSION_DENIED) return undefined;
  const said = oneLine(answer.details);
  return new ServerRefused(
    `the Temporal server${placeOf(server)} refuses your credentials${said && ` (${said})`}: check TEMPORAL_API_KEY or TEMPORAL_TLS_*, and TEMPORAL_NAMESPACE`,
    { cause: error },
  );
}

function placeOf(server: Server): string {
  const { address } =
    'address' in server ? server : ((server.connection as { options?: { address?: string } }).options ?? {});
  return address ? ` at ${address}` : '';
}

/** Temporal takes no update and no query for it; a signal waits until it goes on. */
function paused(cause: unknown, { workflowId = '' }: Asked): Unavailable {
  return new Unavailable(`${numberIn(workflowId)}: ${standstillOf('PAUSED')?.reason} (-w ${workflowId})`, { cause });
}

async function serverError(error: unknown, asked: Asked): Promise<unknown> {
  const { client } = asked;
  const answer = answerIn(error);
  if (!answer) return error;
  if (answer.code === UNAVAILABLE) return unreachable(error, client);
  if (answer.code === RESOURCE_EXHAUSTED)
    return new Unavailable(`Temporal has too much to do (${oneLine(answer.details)}): try again`, { cause: error });
  if (answer.code === FAILED_PRECONDITION && PAUSED.test(answer.details + answer.more)) return paused(error, asked);
  if (answer.code === FAILED_PRECONDITION) return noWorker(oneLine(answer.details), error, asked);
  if (answer.code === INVALID_ARGUMENT && /search attribute/i.test(answer.details + answer.more)) {
    const where = `namespace "${client.options.namespace}" lacks the search attributes of policies`;
    const text = `${where}: check TEMPORAL_NAMESPACE, or start a worker in it once`;
    return new ServerRefused(text, { cause: error });
  }
  return (
    credentialsRefused(error, client) ??
    new ServerRefused(`Temporal refuses: ${oneLine(answer.details)}`, { cause: error })
  );
}

/** What the server answered, of the SDK's error. `more`: what it says of a start with an update, which has no words of its own. */
function answerIn(error: unknown): { code: number; details: string; more: string } | undefined {
  const inner = error instanceof Error && !isGrpcServiceError(error) ? error.cause : error;
  if (!isGrpcServiceError(inner)) return undefined;
  const more = inner.metadata?.get('grpc-status-details-bin') ?? [];
  return { code: inner.code, details: inner.details, more: more.map(String).join(' ') };
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, 300);
}
