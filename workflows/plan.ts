import { differences } from '../policy/difference.ts';
import type { PolicyFields, PolicyRecord } from '../policy/record.ts';
import { fromCarried, withRecord } from './carried.ts';
import { resume } from './reconciler/desired.ts';
import { Position } from './reconciler/position.ts';

/**
 * What becomes of a field that WeChat Pay holds otherwise, or that goes with such a one: `sent` with the next PATCH; `left` until a
 * person accepts or resumes; `accepted` so; `refused`, by WeChat Pay, as it is; kept back, for the policy is `held` or `observed`.
 */
export type Fate = 'sent' | 'left' | 'accepted' | 'refused' | 'held' | 'observed';

export interface PlannedField {
  field: string;
  ours: unknown;
  /** Undefined where WeChat Pay holds nothing, or nobody can read what it holds. */
  theirs?: unknown;
  fate: Fate;
}

/**
 * Where a policy stands as a whole. `unknown`: WeChat Pay has yet to be asked, has no such policy, or does not tell. `upload`: it has
 * none, and is given it next. `push`: a PATCH is next. `differs`: it holds otherwise, and nothing is sent.
 */
export const OUTLOOKS = ['identical', 'push', 'upload', 'differs', 'unknown'] as const;
export type Outlook = (typeof OUTLOOKS)[number];

export interface Plan {
  outlook: Outlook;
  fields: PlannedField[];
}

/** What MongoDB keeps of a policy. */
interface KeptPolicy {
  carried: unknown;
  record: PolicyRecord;
  remote: PolicyFields | null;
}

/**
 * The engine's own next decision, made from what MongoDB keeps of a policy.
 * @param resumed as it would be if somebody resumed the policy now
 */
export function planOf(kept: KeptPolicy, { resumed = false }: { resumed?: boolean | undefined } = {}): Plan {
  const position = positionOf(kept);
  if (resumed) resume(position, Date.now());
  return planned(position);
}

/** What WeChat Pay should hold now, by what MongoDB keeps of a policy. */
export function heldOf(kept: KeptPolicy): PolicyFields {
  return positionOf(kept).held;
}

function positionOf({ carried, record, remote }: KeptPolicy): Position {
  const { life, standing } = withRecord(fromCarried(JSON.parse(String(carried))), record, remote);
  return new Position(life, standing);
}

/** What the next call would carry, field by field, and what would be left as it is. Changes nothing. */
function planned(position: Position): Plan {
  const { standing, held } = position;
  const { call } = position.next();
  if (call === 'upload') return { outlook: 'upload', fields: [] };
  const { confirmed, unreadable, absent, must_query } = standing;
  if (!confirmed || absent || must_query) return { outlook: 'unknown', fields: [] };
  const sendable = position.sendable();
  const names = new Set([
    ...differences(held, confirmed, unreadable).map(({ field }) => field),
    ...Object.keys(sendable),
  ]);
  const fields = [...names].map((field): PlannedField => {
    const theirs = unreadable.includes(field) ? undefined : confirmed[field];
    return { field, ours: held[field], ...(theirs != null && { theirs }), fate: fateOf(position, field, sendable) };
  });
  if (call === 'push') return { outlook: 'push', fields };
  return { outlook: fields.some(({ fate }) => fate !== 'accepted') ? 'differs' : 'identical', fields };
}

function fateOf(position: Position, field: string, sendable: object): Fate {
  const { hold, observed } = position.life;
  if (hold) return 'held';
  if (observed) return 'observed';
  if (field in sendable) return 'sent';
  if (position.accepted.includes(field)) return 'accepted';
  return position.isRefused(field) ? 'refused' : 'left';
}
