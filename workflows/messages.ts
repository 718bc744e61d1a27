import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { CommandInput, Envelope } from '../policy/commands.ts';
import type { Difference } from '../policy/difference.ts';
import type { DueKind } from '../policy/life.ts';
import type { RecordInput } from '../policy/record.ts';
import type { RestartedBy, ShortState, Sync } from '../policy/state.ts';
import { workflowIdOf } from '../policy/workflow_id.ts';

/** Name of the workflow type; policies live for years under it. */
export const WORKFLOW_TYPE = 'policyLifecycle';
/** Queue of workflows and `record` activities. */
export const WORKFLOW_QUEUE = 'policy-sync';

/** Temporal's header in which a message, and an activity, has its trace: the name that Temporal's own interceptors use. */
export const TRACE_HEADER = '_tracer-data';

/** Id of the schedule of audits, and of the workflow that it starts, so that no two audits run at the same time. */
export const AUDIT_SCHEDULE = 'policy-sync-audit';

/** Queue of a merchant's calls to WeChat Pay: its rate limit is held by the Temporal server. */
export function callQueueOf(mchid: string): string {
  return `calls/${mchid}`;
}

/** How far WeChat Pay's copy is in step with ours. */
export type PolicySync = Sync;

/** The answer to every message: the revision that it made, or found. */
export interface Answer {
  revision: number;
  outcome: 'accepted' | 'unchanged' | 'superseded';
}

/** Why nothing is sent until a person acts. Never holds a personal value. */
export interface Block {
  /** WeChat Pay's code, or one of ours: NOT_TAKEN, UNKNOWN_POLICY, ILLEGAL_TRANSITION. */
  code: string;
  message: string;
  request_id?: string;
  /** RFC 3339, UTC. */
  at: string;
}

/** The `status` query. No personal data. Times are RFC 3339 in UTC. */
export interface Status {
  mchid: string;
  out_insurance_no: string;
  state: ShortState;
  sync: PolicySync;
  revision: number;
  /** The last revision that WeChat Pay is known to hold whole. */
  synced_revision: number;
  /** What comes due next of itself. */
  next: { what: DueKind | 'fresh-run'; at: string } | null;
  block: Block | null;
  /** What the last answer to a change says that proves nothing, say an unsigned 400: whoever wrote it, a person may act on it. */
  unverified: Block | null;
  /** Names of the fields in which WeChat Pay's record is known to differ and is left so. */
  diverged: string[];
  /** What a person should look at. */
  attention: string[];
  /** A cancellation that will come. */
  cancellation: { cause: string; at: string } | null;
  window: string;
  /** Since when the policy is on hold: nothing is sent. */
  on_hold_since: string | null;
  /** The call that the loop waits for; its attempts are in Temporal's description of the workflow. */
  call: 'query' | 'push' | 'upload' | 'verify' | null;
  /** A call is due or under way that may bring WeChat Pay what it lacks, whatever else waits for a person. */
  under_way: boolean;
}

/** The second argument of the workflow: absent when started by hand. */
export interface StartOptions {
  /** Digest of the record as opened; the same record again is the same policy. */
  digest?: string;
  /** Restart from the record in MongoDB; the first argument is then null. */
  restore?: {
    mchid: string;
    out_insurance_no: string;
    by: RestartedBy;
    /** The life (first run id) that the caller knows to be over, though MongoDB has no end of it. */
    over?: string;
  };
  /** What a run hands to the next; made by the workflow only. */
  carried?: unknown;
}

export type PolicyLifecycle = (record: RecordInput | null, options?: StartOptions) => Promise<void>;

/** Kind of the failure by which a message is refused: its `type` is the rule, so that the UI shows it. */
export const REFUSALS = {
  exists: 'exists',
  ended: 'ended',
  unavailable: 'Unavailable',
  stopped: 'stopped',
  erased: 'erased',
  plain: 'plain-payload',
  unreadable: 'unreadable-payload',
  locked: 'locked-payload',
} as const;

export const open = defineUpdate<Answer, [Envelope & { digest: string }]>('open');
export const approve = defineUpdate<Answer, [CommandInput<'approve'>]>('approve');
export const decline = defineUpdate<Answer, [CommandInput<'decline'>]>('decline');
export const cancel = defineUpdate<Answer, [CommandInput<'cancel'>?]>('cancel');
export const cancelSignal = defineSignal<[CommandInput<'cancel'>?]>('cancel');
export const withdraw = defineUpdate<Answer, [Envelope?]>('withdraw');
export const amend = defineUpdate<Answer, [CommandInput<'amend'>]>('amend');
export const renew = defineUpdate<Answer, [CommandInput<'renew'>]>('renew');
export const reinstate = defineUpdate<Answer, [CommandInput<'reinstate'>]>('reinstate');
export const hold = defineUpdate<Answer, [CommandInput<'hold'>]>('hold');
export const unhold = defineUpdate<Answer, [Envelope?]>('unhold');
export const observe = defineUpdate<Answer, [CommandInput<'observe'>]>('observe');
export const accept = defineUpdate<Answer, [Envelope?]>('accept');
export const resume = defineUpdate<Answer, [Envelope?]>('resume');
/** Answers what differs now; values of personal fields included, sealed in transit like every payload. */
export const verify = defineUpdate<Answer & { differences: Difference[] }, [Envelope?]>('verify');
export const status = defineQuery<Status>('status');

// Named here, for the SDK exports no name for them, and the types of the package need one.
interface KeywordKey extends ReturnType<typeof defineSearchAttributeKey<typeof SearchAttributeType.KEYWORD>> {}
interface DatetimeKey extends ReturnType<typeof defineSearchAttributeKey<typeof SearchAttributeType.DATETIME>> {}

/** Search attributes, each changed only at a transition. */
export const SEARCH_ATTRIBUTES: Readonly<
  Record<'state' | 'sync' | 'type' | 'mchid', KeywordKey> & Record<'expires' | 'opens', DatetimeKey>
> = {
  state: defineSearchAttributeKey('PolicyState', SearchAttributeType.KEYWORD),
  sync: defineSearchAttributeKey('PolicySync', SearchAttributeType.KEYWORD),
  type: defineSearchAttributeKey('PolicyType', SearchAttributeType.KEYWORD),
  mchid: defineSearchAttributeKey('MerchantId', SearchAttributeType.KEYWORD),
  expires: defineSearchAttributeKey('PolicyExpiresAt', SearchAttributeType.DATETIME),
  opens: defineSearchAttributeKey('RenewalOpensAt', SearchAttributeType.DATETIME),
};

/**
 * How a new run of a policy is started from its record in MongoDB; one that runs is left as it is.
 * @param over the life that is known to be over, for MongoDB may not know it
 */
export function restart(
  { mchid, out_insurance_no }: { mchid: string; out_insurance_no: string },
  by: NonNullable<StartOptions['restore']>['by'],
  over?: string,
) {
  return {
    workflowId: workflowIdOf(mchid, out_insurance_no),
    taskQueue: WORKFLOW_QUEUE,
    args: [
      null,
      { restore: { mchid, out_insurance_no, by, ...(over !== undefined && { over }) } },
    ] as Parameters<PolicyLifecycle>,
    workflowIdReusePolicy: 'ALLOW_DUPLICATE',
    workflowIdConflictPolicy: 'USE_EXISTING',
    typedSearchAttributes: [
      { key: SEARCH_ATTRIBUTES.mchid, value: mchid },
      { key: SEARCH_ATTRIBUTES.sync, value: 'PENDING' },
    ],
    staticSummary: out_insurance_no,
  } as const;
}
