import type { ListedPolicy, ListFilter } from '../client/list.ts';
import { standstillOf } from '../policy/standstill.ts';
import { type POLICY_STATES, shortState } from '../policy/state.ts';
import { instantOf, timeForPeople } from '../policy/time.ts';
import { type Cause, causeOf, NO_CAUSE } from '../storage/cause.ts';
import type { Storage } from '../storage/connection.ts';
import type { ReadPolicy } from '../storage/policies.ts';
import type { PolicyFilter } from '../storage/policy_list.ts';
import { messageOf } from './error_text.ts';
import { endWith, exitCodeOf } from './exit_code.ts';
import { inOrder } from './in_order.ts';
import { note } from './output.ts';
import { withStorage } from './storage.ts';

/** A policy with what asks for a person; without a number it is about a merchant, without a merchant about all. */
export interface Row extends Omit<ListedPolicy, 'mchid' | 'out_insurance_no'>, Partial<Cause> {
  mchid: string | null;
  out_insurance_no: string | null;
  /** The marks of its record, and what else is the matter, where MongoDB told it. */
  attention?: string[];
}

export interface Listing {
  rows: Row[];
  /** There is more than the limit lets through. */
  cut: boolean;
}

/** What MongoDB knows to ask for a person. */
interface Known {
  /** Of merchants held, and of queues that nobody polls: it concerns many policies each. */
  wide: Row[];
  /** Policies that an audit found something about, and nothing else is told of here. */
  found: Row[];
  /** Policies whose records bear marks, or say that they are stopped. */
  marked: Row[];
}

/**
 * Policies out of step, and with them what asks for a person besides. First comes what concerns many policies, and always;
 * then what an audit found, and then policies out of step or marked, of each at most `limit`: neither hides the other.
 * What MongoDB knows, only MongoDB does: without it the list is of what is out of step, and says so.
 */
export async function withAttention(
  { rows, cut }: Listing,
  filter: ListFilter,
  { sync, limit }: { sync?: string; limit: number },
): Promise<Listing> {
  const told = rows.map((row) => ({ ...row, ...causeInTemporal(row) }));
  try {
    const all = await withStorage(async (storage) => {
      const listing = arranged(told, await known(storage, filter, sync, limit), limit);
      return { rows: await explainedRows(storage, listing.rows), cut: cut || listing.cut };
    });
    if (all) return all;
    note('marks, held merchants and findings are in MongoDB: set MONGODB_URI to see them');
  } catch (error) {
    note(`marks, held merchants and findings are not shown: ${messageOf(error)}`);
    endWith(exitCodeOf(error));
  }
  return { rows: told, cut };
}

/** Of a workflow that stands still: Temporal says so by itself. */
function causeInTemporal({ workflow, still_since }: Pick<ListedPolicy, 'workflow' | 'still_since'>): Cause {
  const still = standstillOf(workflow);
  return still ? causeOf(still.code, still.reason, still_since) : NO_CAUSE;
}

function arranged(rows: Row[], { wide, found, marked }: Known, limit: number): Listing {
  const findings = byPolicy(found);
  const others = byPolicy([...rows, ...marked].filter((row) => !merged(findings, row)));
  return {
    rows: [...wide, ...[...findings.values()].slice(0, limit), ...[...others.values()].slice(0, limit)],
    cut: findings.size > limit || others.size > limit,
  };
}

/** Records looked at by the time: each costs some reads. */
const AT_ONCE = 10;

/** The rows with the causes that only their records tell. */
async function explainedRows(storage: Storage, rows: Row[]): Promise<Row[]> {
  const { keptCause } = await import('../storage/kept_cause.ts');
  const explained: Row[] = [];
  const work = async (row: Row): Promise<Row> => {
    const { mchid, out_insurance_no } = row;
    if (row.code !== null || mchid === null || out_insurance_no === null) return row;
    return { ...row, ...(await keptCause(storage, mchid, out_insurance_no)) };
  };
  for await (const { result } of inOrder(rows, AT_ONCE, work)) {
    if (result.status === 'rejected') throw result.reason;
    explained.push(result.value);
  }
  return explained;
}

async function known(storage: Storage, filter: ListFilter, sync: string | undefined, limit: number): Promise<Known> {
  const marked = await markedIn(storage, filter, sync, limit);
  // Of merchants and of what an audit found no state, sync or type is known.
  if (filter.state || sync || filter.type || filter.expires_before) return { wide: [], found: [], marked };
  const [held, findings] = [await heldIn(storage, filter), await findingsIn(storage, filter)];
  const wide = findings.filter((row) => row.out_insurance_no === null);
  return { wide: [...held, ...wide], found: findings.filter((row) => row.out_insurance_no !== null), marked };
}

async function markedIn(
  storage: Storage,
  { mchid, state, type, expires_before }: ListFilter,
  sync: string | undefined,
  limit: number,
): Promise<Row[]> {
  const { listPolicies } = await import('../storage/policy_list.ts');
  const conditions = {
    mchid,
    policy_type: type,
    expires_before,
    ...(state && { policy_state: `POLICY_STATE_${state}` as (typeof POLICY_STATES)[number] }),
  };
  const rows: Row[] = [];
  // One more than are shown, so that it is known whether there are more.
  const add = async (such: Pick<PolicyFilter, 'attention' | 'sync' | 'end'>): Promise<void> => {
    for await (const document of listPolicies(storage, { ...conditions, ...such }, { limit: limit + 1 }))
      rows.push({ ...rowOf(document), attention: document.attention });
  };
  await add({ attention: true, ...(sync && { sync: sync as ReadPolicy['sync'] }) });
  // Temporal forgets those that were stopped once its retention is over.
  if (sync === undefined || sync === 'STOPPED') await add({ sync: 'STOPPED', end: 'STOPPED' });
  return rows;
}

async function heldIn(storage: Storage, { mchid }: ListFilter): Promise<Row[]> {
  const { listHolds } = await import('../storage/holds.ts');
  const holds = (await listHolds(storage)).filter(({ _id }) => mchid === undefined || _id === mchid);
  return holds.map(({ _id, since, code, message }) => ({
    ...NOTHING,
    mchid: _id,
    out_insurance_no: null,
    attention: [`merchant held since ${timeForPeople(since)}: ${code}: ${message}`],
    ...causeOf(code, `the merchant is held: ${message}`, since),
  }));
}

async function findingsIn(storage: Storage, { mchid }: ListFilter): Promise<Row[]> {
  const { listFindings } = await import('../storage/findings.ts');
  const findings = (await listFindings(storage, ALL)).filter(
    (one) => mchid === undefined || one.mchid === null || one.mchid === mchid,
  );
  return findings.map(({ kind, reason, since, ...of }) => ({
    ...NOTHING,
    mchid: of.mchid,
    out_insurance_no: of.out_insurance_no,
    attention: [`${kind}: ${reason}`],
    ...causeOf(kind, reason, since),
  }));
}

/** Those about queues lie anywhere among those about policies. */
const ALL = 2 ** 31 - 1;

const NOTHING = {
  ...{ state: null, sync: null, type: null, expires_at: null, renewal_opens_at: null },
  ...{ workflow: '', still_since: null },
};

/** Each policy once, with all that is the matter. */
function byPolicy(rows: readonly Row[]): Map<string, Row> {
  const all = new Map<string, Row>();
  for (const row of rows) if (!merged(all, row)) all.set(keyOf(row), row);
  return all;
}

/** Adds to the policy's row where it has one; whether it has. */
function merged(rows: Map<string, Row>, row: Row): boolean {
  const same = rows.get(keyOf(row));
  if (!same) return false;
  const attention = [...(row.attention ?? []), ...(same.attention ?? [])];
  const { code, reason, since } = row.code == null ? same : row;
  // Of a finding no more than the number is known.
  Object.assign(same, same.state === null ? row : {}, { code, reason, since }, attention.length > 0 && { attention });
  return true;
}

function keyOf({ mchid, out_insurance_no }: Row): string {
  return `${mchid}/${out_insurance_no}`;
}

function rowOf(document: ReadPolicy): Row {
  const expires = instantOf(document.record.policy.expired_time);
  return {
    mchid: document.mchid,
    out_insurance_no: document.out_insurance_no,
    state: shortState(document.policy_state),
    sync: document.sync,
    type: document.policy_type,
    expires_at: expires === undefined ? null : new Date(expires).toISOString(),
    renewal_opens_at: null,
    workflow: document.end ? 'ended' : 'RUNNING',
    still_since: null,
    ...NO_CAUSE,
  };
}
