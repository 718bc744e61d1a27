import type { Storage } from './connection.ts';
import type { Call, CallIntent, CallOutcome, OwedAttempts } from './documents.ts';
import { isDuplicate } from './errors.ts';

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
