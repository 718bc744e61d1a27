import { type POLICY_STATES, shortState } from '../../policy/state.ts';
import { instantOf } from '../../policy/time.ts';
import type { Storage } from '../../storage/connection.ts';
import type { ReadPolicy } from '../../storage/policies.ts';
import type { ListedPolicy, ListFilter } from '../list.ts';
import { messageOf } from './error_text.ts';
import { note } from './output.ts';
import { withStorage } from './storage.ts';

/** A policy with what asks for a person; without a number it is about a merchant, without a merchant about all. */
export interface Row extends Omit<ListedPolicy, 'mchid' | 'out_insurance_no'> {
  mchid: string | null;
  out_insurance_no: string | null;
  /** The marks of its record, and what else is the matter, where MongoDB told it. */
  attention?: string[];
}

/** What is known of attention is in MongoDB only; without it the list is of what is out of step, and says so. */
export async function addAttention(rows: Row[], filter: ListFilter, limit: number): Promise<void> {
  try {
    const found = await withStorage(async (storage) => {
      await addMarked(storage, rows, filter, limit);
      // Of merchants and of what an audit found no state or type is known.
      if (!filter.state && !filter.type && !filter.expires_before) {
        await addHeld(storage, rows, filter);
        await addFindings(storage, rows, filter, limit);
      }
      return true;
    });
    if (!found) note('marks, held merchants and findings are in MongoDB: set MONGODB_URI to see them');
  } catch (error) {
    note(`marks, held merchants and findings are not shown: ${messageOf(error)}`);
  }
}

async function addMarked(storage: Storage, rows: Row[], filter: ListFilter, limit: number): Promise<void> {
  const { listPolicies } = await import('../../storage/policies.ts');
  const { mchid, state, type, expires_before } = filter;
  const conditions = {
    mchid,
    policy_type: type,
    expires_before,
    attention: true,
    ...(state && { policy_state: `POLICY_STATE_${state}` as (typeof POLICY_STATES)[number] }),
  };
  for await (const document of listPolicies(storage, conditions, { limit }))
    add(rows, { ...rowOf(document), attention: document.attention });
}

async function addHeld(storage: Storage, rows: Row[], { mchid }: ListFilter): Promise<void> {
  const { listHolds } = await import('../../storage/holds.ts');
  for (const hold of await listHolds(storage)) {
    if (mchid !== undefined && hold._id !== mchid) continue;
    const since = hold.since.toISOString();
    add(rows, {
      ...NOTHING,
      mchid: hold._id,
      out_insurance_no: null,
      attention: [`merchant held since ${since}: ${hold.code}: ${hold.message}`],
    });
  }
}

async function addFindings(storage: Storage, rows: Row[], { mchid }: ListFilter, limit: number): Promise<void> {
  const { listFindings } = await import('../../storage/findings.ts');
  for (const found of await listFindings(storage, limit)) {
    if (mchid !== undefined && found.mchid !== null && found.mchid !== mchid) continue;
    const { out_insurance_no, kind, reason } = found;
    add(rows, { ...NOTHING, mchid: found.mchid, out_insurance_no, attention: [`${kind}: ${reason}`] });
  }
}

const NOTHING = { state: null, sync: null, type: null, expires_at: null, renewal_opens_at: null, workflow: '' };

/** To the policy's row where it has one. */
function add(rows: Row[], row: Row): void {
  const same = rows.find(
    (one) => one.mchid === row.mchid && one.out_insurance_no !== null && one.out_insurance_no === row.out_insurance_no,
  );
  if (same) same.attention = [...(same.attention ?? []), ...(row.attention ?? [])];
  else rows.push(row);
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
