import type { PolicyFields, PolicyRecord } from '../../policy/record.ts';
import type { End } from '../../policy/state.ts';
import type { OwedAttempts } from './snapshot.ts';

/** The worker writes the events that a snapshot carries. Absent: it does not, and the workflow keeps them. */
export interface TellsEvents {
  events?: true;
}

interface Recorded extends TellsEvents {
  /** False when MongoDB did not take the record: the workflow owes it. */
  recorded: boolean;
  /** Id of the payload key that encrypts now. */
  payload_key?: string;
  request_id?: string;
  /** Attempts of this activity, this one among them, that MongoDB has not got. */
  owed?: OwedAttempts;
}

/** 2xx, signature verified, for the number asked. */
export interface Confirmed extends Recorded {
  outcome: 'confirmed';
  policy: PolicyFields;
  /** Fields whose sealed values no key of ours opens. */
  unreadable: string[];
  /** Epoch ms. */
  at: number;
}

/** A signed refusal. `message` has every value sent cut out of it. */
export interface Refused extends Recorded {
  outcome: 'refused';
  status: number;
  code: string;
  message: string;
}

/** It may or may not have taken effect; a PATCH or POST only, GETs are retried. */
export interface Unknown extends Recorded {
  outcome: 'unknown';
  code: string;
  status?: number;
  /** What an answer says that proves nothing, with every value sent cut out of it. */
  message?: string;
}

/** Certainly without effect so far. */
export interface Waiting extends Recorded {
  outcome: 'waiting';
  code: string;
  /** Requests of this activity, so far all without effect. Absent where none was made. */
  attempts?: number;
  /** `Retry-After` asks for a wait beyond `alert_after`, which is not over yet. Absent: it is. */
  early?: true;
  /** The next call is to be made in so many ms, and not before, unless something else is wanted. Absent: at once. */
  wait?: number;
}

/** The active payload key is another than the run's. */
export interface KeyChanged extends Recorded {
  outcome: 'key-changed';
}

/**
 * A reset of Temporal's undid a run of this life, and this one was not told so yet; nothing was sent. `ahead`: numbers that
 * MongoDB has of the life undone, where it has greater ones, else those of the run itself.
 */
export interface Behind extends Recorded {
  outcome: 'behind';
  ahead: { revision: number; step: number };
  /** Which run was told so; absent from workers of an older build. */
  run?: string;
}

export type CallResult = Confirmed | Refused | Unknown | Waiting | Behind;
export type VerifyResult = Confirmed | Refused | KeyChanged | Behind;

/** A record that a restart begins from. */
export interface RestoredRecord {
  outcome: 'restored';
  record: PolicyRecord;
  /** WeChat Pay's policy as last observed; null when never seen. */
  remote: PolicyFields | null;
  revision: number;
  synced_revision: number;
  step: number;
  version: number | null;
  digest: string | null;
  opened_at: number;
  end: End | null;
  /** The sequence of the last event that MongoDB was given. */
  last_event?: number;
  /** As it was in the snapshot. */
  carried: string;
}

export interface NotRestored {
  outcome: 'unknown' | 'exists' | 'stopped' | 'erased';
  /** Of `exists`: the Temporal namespace that keeps the policy, where it is another one. */
  namespace?: string;
}
