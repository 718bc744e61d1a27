import type { PolicyId } from '../client/start_operation.ts';
import type { ReadCommand } from '../storage/commands.ts';
import type { Storage } from '../storage/connection.ts';
import type { ReadDiscrepancy } from '../storage/discrepancies.ts';
import { sealedIn, shownValue } from '../storage/masked.ts';
import type { ReadPolicy } from '../storage/policies.ts';
import type { Outlook, Plan, PlannedField } from '../workflows/plan.ts';

/** The last messages and differences in which the cause of one is looked for. */
const LOOKED_AT = 100;

/** A field of the next PATCH, or one that is left as it is. */
export interface PlannedRow extends PlannedField {
  /**
   * Which message or due time gave ours its value, of whom, and when; null where it is as opened. Absent where it may have been one that
   * is kept no more, or is older than the last hundred.
   */
  changed?: { command: string; by: string | null; at: Date } | null;
  /** When WeChat Pay's was found to be another; null where it was so from the start. */
  found_at: Date | null;
}

/** What would be sent of a policy next, as MongoDB knows it. */
export interface Planned extends PolicyId {
  outlook: Outlook;
  sync: ReadPolicy['sync'];
  revision: number;
  /** When WeChat Pay last showed what it holds. */
  observed_at: Date | null;
  fields: PlannedRow[];
}

/**
 * The engine's own next decision, made from the record that it keeps in MongoDB: nothing is asked of Temporal or WeChat Pay.
 * @throws {StorageUnreadable} where no payload key of this shell opens the record
 */
export async function plannedOf(
  storage: Storage,
  policy: ReadPolicy,
  { reveal, resumed }: { reveal?: boolean | undefined; resumed?: boolean | undefined },
): Promise<Planned> {
  const { mchid, out_insurance_no, sync, revision, observed_at } = policy;
  const { outlook, fields } = await decided(policy, resumed);
  const told = { mchid, out_insurance_no, outlook, sync, revision, observed_at };
  if (fields.length === 0) return { ...told, fields: [] };
  const [{ listCommands }, { listDiscrepancies }] = await Promise.all([
    import('../storage/commands.ts'),
    import('../storage/discrepancies.ts'),
  ]);
  const [commands, discrepancies] = await Promise.all([
    listCommands(storage, policy._id, LOOKED_AT),
    listDiscrepancies(storage, policy._id, LOOKED_AT),
  ]);
  return {
    ...told,
    fields: fields.map((one) => ({ ...shown(one, reveal), ...causeOf(one.field, commands, discrepancies) })),
  };
}

async function decided(policy: ReadPolicy, resumed: boolean | undefined): Promise<Plan> {
  const [first] = policy.unreadable;
  if (first) {
    const { StorageUnreadable } = await import('../storage/errors.ts');
    throw new StorageUnreadable(policy._id, first.field, sealedIn(first.field, policy.unreadable) ?? first.reason);
  }
  // A number that has only been claimed has no state yet.
  if (policy.carried === undefined || policy.carried === null) return { outlook: 'unknown', fields: [] };
  const { planOf } = await import('../workflows/plan.ts');
  return planOf(policy, { resumed });
}

function shown({ ours, theirs, ...one }: PlannedField, reveal: boolean | undefined): PlannedField {
  const other = theirs === undefined ? {} : { theirs: shownValue(one.field, theirs, reveal) };
  return { ...one, ours: shownValue(one.field, ours, reveal), ...other };
}

/** Both lists have the latest first. */
function causeOf(
  field: string,
  commands: readonly ReadCommand[],
  discrepancies: readonly ReadDiscrepancy[],
): Pick<PlannedRow, 'changed' | 'found_at'> {
  const isWhole = commands.at(-1)?.command === 'open';
  // The opening gave every field its value.
  const of = commands.find(({ command, after, before }) => command !== 'open' && (field in after || field in before));
  const found = discrepancies.find((one) => one.field === field);
  const changed = of ? { command: of.command, by: of.by === null ? null : String(of.by), at: of.at } : null;
  return {
    ...((of || isWhole) && { changed }),
    found_at: found?.found_at ?? null,
  };
}
