import { activityInfo } from '@temporalio/activity';
import type { PolicyFields } from '../policy/record.ts';
import type { End } from '../policy/state.ts';
import { writeAnswer, writeNextVerification, writeVerification } from '../storage/answers.ts';
import { writeIntent, writeOutcome, writeOwed } from '../storage/calls.ts';
import { type ConfirmedCommand, writeCommands } from '../storage/commands.ts';
import type { Storage } from '../storage/connection.ts';
import { type FoundDiscrepancy, writeDiscrepancies } from '../storage/discrepancies.ts';
import { StorageError } from '../storage/errors.ts';
import { writeEvents } from '../storage/events.ts';
import { documentId, type Pair, type PolicySnapshot, pairAhead, writePolicy } from '../storage/policies.ts';
import { fault, type Log } from './log.ts';
import type { Behind, TellsEvents } from './types/results.ts';
import type { OwedAttempts, Snapshot } from './types/snapshot.ts';

export interface Place {
  storage: Storage;
  log: Log;
  /** Told, for metrics, what MongoDB was told for the first time. */
  noted?: (what: Noted) => void;
  /** Events that a snapshot carries are written: somebody waits for them. */
  events?: boolean;
}

export interface Noted {
  confirmed?: readonly ConfirmedCommand[];
  /** Differences from what WeChat Pay holds. */
  found?: readonly FoundDiscrepancy[];
}

/** Says in a result that events were written with the rest. */
export function tellsEvents({ events }: Place): TellsEvents {
  return events ? { events: true } : {};
}

/** What a call came to, as `calls` keeps it: one document per attempt. */
export interface CallRecord {
  outcome: string;
  status?: number;
  code?: string;
  request_id?: string;
  duration_ms: number;
  host?: string;
}

/** The snapshot as MongoDB's document has it. */
export function documentOf(snapshot: Snapshot): PolicySnapshot {
  const { record, block, due, cancellation, answer } = snapshot;
  return {
    mchid: snapshot.mchid,
    out_insurance_no: snapshot.out_insurance_no,
    record,
    policy_state: record.policy.policy_state,
    policy_type: record.policy.policy_type,
    sync: snapshot.sync as PolicySnapshot['sync'],
    revision: snapshot.revision,
    synced_revision: snapshot.synced_revision,
    step: snapshot.step,
    block: block && { ...block, request_id: block.request_id ?? null, at: new Date(block.at) },
    attention: snapshot.attention,
    due: due && { what: due.what, at: new Date(due.at) },
    version: snapshot.version,
    digest: snapshot.digest,
    window: snapshot.window as PolicySnapshot['window'],
    cancellation: cancellation && { cause: cancellation.cause, at: new Date(cancellation.at) },
    life: snapshot.life,
    workflow_run: activityInfo().workflowExecution?.runId ?? '',
    namespace: activityInfo().namespace,
    opened_at: new Date(snapshot.opened_at),
    end: null,
    ended_at: null,
    carried: snapshot.carried,
    ...(answer && { remote: answer.policy, observed_at: new Date(answer.at) }),
  };
}

/** Temporal's reset brought back an earlier state of the workflow: there are later numbers of the same life, or there may be. */
export class RunIsBehind extends Error {
  readonly ahead: Pair;

  constructor({ revision, step }: Pair) {
    super('the workflow of this life was reset to an earlier state');
    this.ahead = { revision, step };
  }
}

/** What a run that is behind is told in place of a result; nothing was sent to WeChat Pay. */
export async function orBehind<T>(run: () => Promise<T>): Promise<T | Behind> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof RunIsBehind)) throw error;
    const told = activityInfo().workflowExecution?.runId;
    return { outcome: 'behind', recorded: false, ahead: error.ahead, ...(told !== undefined && { run: told }) };
  }
}

const NOTHING_TOLD: Pick<Snapshot, 'commands' | 'confirmation' | 'discrepancies' | 'owed' | 'events'> = {
  ...{ commands: [], confirmation: null, discrepancies: [] },
  ...{ owed: [], events: [] },
};

/**
 * After a reset of Temporal's nobody knows what the run before has sent, and MongoDB may not have heard of it. So the first activity of
 * the new run tells it that it is behind, whatever MongoDB has; so does one that was scheduled before the reset.
 * @throws {RunIsBehind}
 */
export async function expectOwnRun(place: Place, snapshot: Snapshot): Promise<void> {
  const run = activityInfo().workflowExecution?.runId;
  if (snapshot.run === undefined || snapshot.run === run) return;
  // MongoDB may know how far the run before has come. What else the run has to tell, it tells once it knows: by ids of its own.
  await recordSnapshot(place, { ...snapshot, ...NOTHING_TOLD });
  throw new RunIsBehind(snapshot);
}

/** Runs a write that the call must not depend on. False when MongoDB has not got it: with a line, where it did not take it. */
export async function written(place: Place, what: string, write: () => Promise<unknown>): Promise<boolean> {
  try {
    return (await write()) !== 'older';
  } catch (error) {
    if (error instanceof RunIsBehind) throw error;
    const message = 'MongoDB did not take a record; the call goes on';
    if (error instanceof StorageError) place.log.warn({ what, reason: error.message }, message);
    // What is known of a call must not be lost by a bug in writing it down: the server would make the call again.
    else place.log.error({ what, ...fault(error) }, message);
    return false;
  }
}

/**
 * Writes the snapshot, guarded by revision and step, and what it says of commands, discrepancies and owed attempts.
 * @throws {RunIsBehind}
 */
export async function writeSnapshot(
  { storage, noted, ...place }: Place,
  snapshot: Snapshot,
  changes: Partial<PolicySnapshot> & { end?: End | null } = {},
): Promise<'written' | 'older'> {
  const { mchid, out_insurance_no, discrepancies, commands = [], confirmation = null, owed = [] } = snapshot;
  const events = place.events ? snapshot.events : undefined;
  const of = { mchid, policy: documentId(mchid, out_insurance_no) };
  // Before the policy: a life that restarts from the document does not tell them again.
  const [confirmed, found] = await Promise.all([
    writeCommands(storage, { ...of, commands, confirmation }),
    writeDiscrepancies(storage, { ...of, discrepancies }),
    ...owed.map((one) => writeOwed(storage, owedOf(snapshot, one))),
    events && writeEvents(storage, { ...of, out_insurance_no, events }),
  ]);
  noted?.({ confirmed, found });
  const last = events?.at(-1);
  const document = { ...documentOf(snapshot), ...(last && { last_event: last.sequence }), ...changes };
  if ((await writePolicy(storage, document)) === 'written') return 'written';
  const ahead = await pairAhead(storage, document);
  if (ahead) throw new RunIsBehind(ahead);
  return 'older';
}

/** The snapshot alone, where no request is made. */
export function recordSnapshot(place: Place, snapshot: Snapshot): Promise<boolean> {
  return written(place, 'snapshot', async () => {
    // An older one has nothing to add to what the same run has told since.
    await writeSnapshot(place, snapshot);
  });
}

/** The snapshot, and when the first verification comes: no later snapshot says so. */
export function recordNextVerification(place: Place, snapshot: Snapshot, next_verification_at: Date): Promise<boolean> {
  return written(place, 'snapshot', async () => {
    if ((await writeSnapshot(place, snapshot, { next_verification_at })) === 'written') return;
    return writeNextVerification(place.storage, { ...identityOf(snapshot), next_verification_at });
  });
}

/** A verification that found nothing, and when the next one comes. */
export function recordVerification(place: Place, snapshot: Snapshot, next_verification_at: Date): Promise<boolean> {
  const quiet = { ...identityOf(snapshot), verified_at: new Date(), next_verification_at };
  return written(place, 'verification', () => writeVerification(place.storage, quiet));
}

/** Before the request: the snapshot, and that the request is about to be made. */
export function recordIntent(place: Place, snapshot: Snapshot, method: string): Promise<boolean> {
  return written(place, 'intent', () =>
    Promise.all([writeSnapshot(place, snapshot), writeIntent(place.storage, intentOf(snapshot, method))]),
  );
}

/**
 * After it: what came of the request, and WeChat Pay's policy where it answered with one. `attempt`: the attempt itself
 * is in `calls`.
 */
export async function recordOutcome(
  place: Place,
  snapshot: Snapshot,
  method: string,
  call: CallRecord,
  remote?: PolicyFields,
): Promise<{ attempt: boolean; all: boolean }> {
  const { status = null, code = null, request_id = null, host = null, ...rest } = call;
  const outcome = { ...intentOf(snapshot, method), ...rest, status, code, request_id, host };
  const seen = remote && { ...identityOf(snapshot), step: snapshot.step + 1, remote, observed_at: new Date() };
  const [attempt, answer] = await Promise.all([
    written(place, 'outcome', () => writeOutcome(place.storage, outcome)),
    written(place, 'answer', async () => seen && writeAnswer(place.storage, seen)),
  ]);
  return { attempt, all: attempt && answer };
}

function identityOf({ mchid, out_insurance_no, life, revision }: Snapshot) {
  return { mchid, out_insurance_no, life, revision };
}

function intentOf({ mchid, out_insurance_no, revision, step }: Snapshot, method: string) {
  const { workflowExecution, activityId, attempt } = activityInfo();
  return {
    workflow_run: workflowExecution?.runId ?? '',
    activity_id: activityId,
    attempt,
    policy: documentId(mchid, out_insurance_no),
    mchid,
    method,
    revision,
    step,
    at: new Date(),
  };
}

/** Attempts that MongoDB did not take, as `calls` keeps their summary. */
export function owedOf({ mchid, out_insurance_no }: Snapshot, owed: OwedAttempts) {
  const { workflow_run, activity_id, count, last_code = null, last_request_id = null } = owed;
  const policy = documentId(mchid, out_insurance_no);
  return { workflow_run, activity_id, policy, mchid, count, last_code, last_request_id, at: new Date() };
}
