import { activityInfo } from '@temporalio/activity';
import { ApplicationFailure, ApplicationFailureCategory } from '@temporalio/common';
import type { End, RestartedBy } from '../policy/state.ts';
import { StorageError, StorageUnavailable } from '../storage/errors.ts';
import { claim, findPolicy, restore } from '../storage/policies.ts';
import { checkFormat } from './failure.ts';
import { documentOf, orBehind, type Place, tellsEvents, writeSnapshot } from './recording.ts';
import type { RecordActivities } from './types/activities.ts';
import type { NotRestored, RestoredRecord } from './types/results.ts';
import type { Snapshot } from './types/snapshot.ts';

export interface RecordSettings extends Place {
  /** Id of the payload key that encrypts now. */
  payloadKey?: string;
}

/** What is done in MongoDB alone; retried by the server until MongoDB takes it. */
export function recordActivities({ payloadKey, ...place }: RecordSettings): RecordActivities {
  return {
    claim: ({ format, snapshot }) => taken(format, () => claimed(place, snapshot)),
    restore: ({ format, by, ...life }) => taken(format, () => restored(place, by, life)),
    record: ({ format, snapshot, end }) =>
      taken(format, () =>
        orBehind(async () => {
          if (end) await writeEnd(place, snapshot, end);
          else await writeSnapshot(place, snapshot);
          return { payload_key: payloadKey, ...tellsEvents(place) };
        }),
      ),
  };
}

/**
 * The last record of a life. Nobody is left to carry events on, so that they are written here, whatever this worker is set to. When it
 * ended is MongoDB's time: what is erased long after the end goes by it, and a worker's own clock may be years behind.
 */
async function writeEnd(place: Place, snapshot: Snapshot, end: End): Promise<void> {
  await writeSnapshot({ ...place, events: true }, snapshot, { end, ended_at: await place.storage.clock() });
}

async function claimed(place: Place, snapshot: Snapshot) {
  const { end: _end, ended_at: _at, ...document } = documentOf(snapshot);
  const never = { remote: null, observed_at: null, verified_at: null, next_verification_at: null };
  const told = await claim(place.storage, { ...never, ...document } as Parameters<typeof claim>[1]);
  return told.outcome === 'claimed' ? { ...told, ...tellsEvents(place) } : told;
}

async function restored(
  { storage }: Place,
  by: RestartedBy,
  life: { mchid: string; out_insurance_no: string; life: string; over?: string },
): Promise<RestoredRecord | NotRestored> {
  // Refused before anything is taken over: the life that stopped must stay resumable.
  const before = by === 'resume' ? null : await findPolicy(storage, life.mchid, life.out_insurance_no);
  if (before?.end === 'STOPPED') return { outcome: 'stopped' };
  // An audit restarts what was lost, and nothing that came to its end meanwhile.
  if (by === 'audit' && before?.end && before.life !== life.life) return { outcome: 'exists' };
  // An audit has looked whose the records are before it restarts any.
  const found = await restore(storage, { ...life, namespace: activityInfo().namespace, adopt: by === 'audit' });
  if (found.outcome === 'exists') return { outcome: 'exists', ...(found.namespace && { namespace: found.namespace }) };
  if (found.outcome !== 'restored') return found;
  const { record, remote, revision, synced_revision, step, version, digest, opened_at, end, carried, last_event } =
    found.document;
  return {
    outcome: 'restored',
    record,
    remote,
    revision,
    synced_revision,
    step,
    version,
    digest,
    opened_at: opened_at.getTime(),
    end,
    carried: String(carried),
    ...(last_event !== undefined && { last_event }),
  };
}

/** A failure of MongoDB's as one that the server retries; its message has neither credentials nor values. */
async function taken<T>(format: number, write: () => Promise<T>): Promise<T> {
  checkFormat(format);
  try {
    return await write();
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    const category = error instanceof StorageUnavailable ? ApplicationFailureCategory.BENIGN : undefined;
    throw ApplicationFailure.create({ type: error.name, message: error.message, category });
  }
}
