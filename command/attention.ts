import type { ListedPolicy, ListFilter } from '../client/list.ts';
import { type POLICY_STATES, shortState } from '../policy/state.ts';
import { instantOf, timeForPeople } from '../policy/time.ts';
import type { Storage } from '../storage/connection.ts';
import type { ReadPolicy } from '../storage/policies.ts';
import { messageOf } from './error_text.ts';
import { endWith, exitCodeOf } from './exit_code.ts';
import { note } from './output.ts';
import { withStorage } from './storage.ts';

/** A policy with what asks for a person; without a number it is about a merchant, without a merchant about all. */
export interface Row extends Omit<ListedPolicy, 'mchid' | 'out_insurance_no'> {
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
  /** Policies whose records bear marks. */
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
  const { wide, found, marked } = await known(filter, sync, limit);
  const findings = byPolicy(found);
  const others = byPolicy([...rows, ...marked].filter((row) => !merged(findings, row)));
  return {
    rows: [...wide, ...[...findings.values()].slice(0, limit), ...[...others.values()].slice(0, limit)],
    cut: cut || findings.size > limit || others.size > limit,
  };
}

async function known(filter: ListFilter, sync: string | undefined, limit: number): Promise<Known> {
  const nothing = { wide: [], found: [], marked: [] };
  try {
    const all = await withStorage(async (storage) => {
      const marked = await markedIn(storage, filter, sync, limit);
      // Of merchants and of what an audit found no state, sync or type is known.
      if (filter.state || sync || filter.type || filter.expires_before) return { ...nothing, marked };
      const [held, findings] = [await heldIn(storage, filter), await findingsIn(storage, filter)];
      const wide = findings.filter((row) => row.out_insurance_no === null);
      return { wide: [...held, ...wide], found: findings.filter((row) => row.out_insurance_no !== null), marked };
    });
    if (!all) note('marks, held merchants and findings are in MongoDB: set MONGODB_URI to see them');
    return all ?? nothing;
  } catch (error) {
    note(`marks, held merchants and findings are not shown: ${messageOf(error)}`);
    endWith(exitCodeOf(error));
    return nothing;
  }
}

async function markedIn(
  storage: Storage,
  { mchid, state, type, expires_before }: ListFilter,
  sync: string | undefined,
  limit: number,
): Promise<Row[]> {
  const { listPolicies } = await import('../storage/policies.ts');
  const conditions = {
    mchid,
    policy_type: type,
    expires_before,
    attention: true,
    ...(sync && { sync: sync as ReadPolicy['sync'] }),
    ...(state && { policy_state: `POLICY_STATE_${state}` as (typeof POLICY_STATES)[number] }),
  };
  const rows: Row[] = [];
  // One more than are shown, so that it is known whether there are more.
  for await (const document of listPolicies(storage, conditions, { limit: limit + 1 }))
    rows.push({ ...rowOf(document), attention: document.attention });
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
  }));
}

async function findingsIn(storage: Storage, { mchid }: ListFilter): Promise<Row[]> {
  const { listFindings } = await import('../storage/findings.ts');
  const findings = (await listFindings(storage, ALL)).filter(
    (one) => mchid === undefined || one.mchid === null || one.mchid === mchid,
  );
  return findings.map(({ kind, reason, ...of }) => ({
    ...NOTHING,
    mchid: of.mchid,
    out_insurance_no: of.out_insurance_no,
    attention: [`${kind}: ${reason}`],
  }));
}

/** Those about queues lie anywhere among those about policies. */
const ALL = 2 ** 31 - 1;

const NOTHING = { state: null, sync: null, type: null, expires_at: null, renewal_opens_at: null, workflow: '' };

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
  // Of a finding no more than the number is known.
  Object.assign(same, same.state === null ? row : {}, attention.length > 0 && { attention });
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
  };
}
