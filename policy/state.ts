/** WeChat Pay's policy states: 出单中, 已承保, 拒保, 已失效. */
export const POLICY_STATES = [
  'POLICY_STATE_ISSUING',
  'POLICY_STATE_APPROVED',
  'POLICY_STATE_DECLINED',
  'POLICY_STATE_INACTIVE',
] as const;

export type PolicyState = (typeof POLICY_STATES)[number];

export const ISSUING = 'POLICY_STATE_ISSUING';
export const APPROVED = 'POLICY_STATE_APPROVED';
export const DECLINED = 'POLICY_STATE_DECLINED';
export const INACTIVE = 'POLICY_STATE_INACTIVE';

/** Every transition that WeChat Pay takes; any other makes the update fail. INACTIVE to APPROVED is a reinstatement. */
export const TRANSITIONS: Readonly<Record<PolicyState, readonly PolicyState[]>> = {
  [ISSUING]: [APPROVED, DECLINED, INACTIVE],
  [APPROVED]: [INACTIVE],
  [DECLINED]: [],
  [INACTIVE]: [APPROVED],
};

/**
 * Whether `from` to `to` is on the table. A state to itself is not: what WeChat Pay does with it is undocumented. From a
 * state that is not on it, such as one that WeChat Pay adds tomorrow, or from none, nothing may follow.
 */
export function isTransition(from: unknown, to: PolicyState): boolean {
  const known = POLICY_STATES.find((state) => state === from);
  return known !== undefined && TRANSITIONS[known].includes(to);
}

/** How people write and read states: `APPROVED` for `POLICY_STATE_APPROVED`. */
export type ShortState = 'ISSUING' | 'APPROVED' | 'DECLINED' | 'INACTIVE';

export function shortState(state: PolicyState): ShortState {
  return state.slice('POLICY_STATE_'.length) as ShortState;
}

/** Why a policy ended before its time: 退保, 犹豫期退保, 失效 (unpaid premium), 终止. */
export const CAUSES = ['SURRENDER', 'HESITATION', 'LAPSE', 'TERMINATED'] as const;
export type Cause = (typeof CAUSES)[number];

/** How far WeChat Pay's copy is in step with ours. */
export const SYNCS = ['PENDING', 'RETRYING', 'SYNCED', 'BLOCKED', 'DIVERGED', 'HELD', 'OBSERVED', 'STOPPED'] as const;
export type Sync = (typeof SYNCS)[number];

/**
 * How a life is over: refused by the insurer, at the end of cover, because somebody stopped its workflow, or because its personal
 * data were erased, after which no life follows.
 */
export type End = 'DECLINED' | 'INACTIVE' | 'STOPPED' | 'ERASED';

/** What begins a run from the record in MongoDB. */
export type RestartedBy = 'reinstate' | 'resume' | 'audit';
