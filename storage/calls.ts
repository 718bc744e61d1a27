import type { Storage } from './connection.ts';
import { isDuplicate } from './errors.ts';

/** Which attempt of which activity of which run. One attempt is one HTTP request. */
export interface Attempt {
  workflow_run: string;
  activity_id: string;
  attempt: number;
}

/** Before the request: what is about to be sent. */
export interface CallIntent extends Attempt {
  /** `_id` of the policy. */
  policy: string;
  mchid: string;
  method: string;
  revision: number;
  step: number;
  at: Date;
}

/** After it: what came of it. `null` where there was no answer to take it from. */
export interface CallOutcome extends CallIntent {
  /** A row of the outcome table: confirmed, no-effect, unknown, refused, merchant. */
  outcome: string;
  status: number | null;
  code: string | null;
  request_id: string | null;
  duration_ms: number;
  host: string | null;
}

/** Attempts that could not be recorded while MongoDB was away. */
export interface OwedAttempts extends Omit<Attempt, 'attempt'> {
  policy: string;
  mchid: string;
  /** All of the activity so far, not those since the last summary. */
  count: number;
  last_code: string | null;
  last_request_id: string | null;
  at: Date;
}

/** A document of `calls`: an attempt, of which only the intent may be known, or a summary of owed ones. */
export type Call = { _id: string } & (CallIntent | CallOutcome | OwedAttempts);

/** @throws StorageError */
export async function writeIntent(storage: Storage, intent: CallIntent): Promise<void> {
  await writeAttempt(storage, intent);
}

/**
 * Carries the intent too, which may not have been recorded.
 * @throws StorageError
 */
export async function writeOutcome(storage: Storage, outcome: CallOutcome): Promise<void> {
  await writeAttempt(storage, outcome);
}

// Sets the fields given: an intent that comes late leaves the outcome, and either twice is the same.
async function writeAttempt(storage: Storage, call: CallIntent | CallOutcome): Promise<void> {
  const _id = `${call.workflow_run}/${call.activity_id}/${call.attempt}`;
  await storage.write(_id, () => storage.calls.updateOne({ _id }, { $set: call }, { upsert: true }));
}

/**
 * Over a smaller count only.
 * @throws StorageError
 */
export async function writeOwed(storage: Storage, owed: OwedAttempts): Promise<void> {
  const _id = `${owed.workflow_run}/${owed.activity_id}/owed`;
  const over = { _id, count: { $lt: owed.count } };
  await storage.write(_id, async () => {
    try {
      await storage.calls.updateOne(over, { $set: owed }, { upsert: true });
    } catch (error) {
      if (!isDuplicate(error)) throw error;
      await storage.calls.updateOne(over, { $set: owed });
    }
  });
}

/**
 * The calls of a policy, the newest first.
 * @throws StorageError
 */
export async function listCalls(storage: Storage, policy: string, limit: number): Promise<Call[]> {
  return storage.read(() => storage.calls.find({ policy }).sort({ at: -1 }).limit(limit).toArray());
}
