import { DAY } from '../policy/duration.ts';
import { type End, POLICY_STATES, type ShortState, SYNCS, type Sync, shortState } from '../policy/state.ts';
import { timeForPeople } from '../policy/time.ts';
import type { CountedDrift, CountedVerifications, Waiting } from '../storage/fleet_counts.ts';
import { tableOf } from './output.ts';

/** How a fleet stands, as MongoDB knows it. */
export interface Report {
  /** When it was made. */
  at: Date;
  /** Of which merchant; null: of all. */
  mchid: string | null;
  /** Policies that go on. */
  policies: number;
  by_state: Partial<Record<ShortState, Partial<Record<Sync, number>>>>;
  ended: Partial<Record<End, number>>;
  oldest_pending: Waiting[];
  blocked: Record<string, number>;
  /** Differences found since `drift_since`. */
  drift_since: Date;
  drift: CountedDrift[];
  verification: CountedVerifications;
}

/** What `report` writes for people. */
export function reportText(report: Report): string {
  const { at, mchid, policies, ended } = report;
  const over = Object.entries(ended).map(([end, count]) => `${count} ${end}`);
  const head = `${mchid ? `merchant ${mchid}, ` : ''}${timeForPeople(at)}: ${policies} policies go on; ended: ${over.join(', ') || 'none'}`;
  return [head, states(report), waiting(report), blocked(report), drift(report), verifications(report.verification)]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** A row for each state, a column for each sync that there is. */
function states({ by_state }: Report): string {
  const rows = POLICY_STATES.map(shortState).filter((state) => by_state[state]);
  const columns = SYNCS.filter((sync) => rows.some((state) => by_state[state]?.[sync]));
  if (rows.length === 0) return '';
  return tableOf(
    ['STATE', ...columns],
    rows.map((state) => [state, ...columns.map((sync) => String(by_state[state]?.[sync] ?? ''))]),
  );
}

function waiting({ oldest_pending }: Report): string {
  if (oldest_pending.length === 0) return 'no change waits for WeChat Pay';
  return tableOf(
    ['WAITS SINCE', 'MERCHANT', 'NUMBER', 'SYNC', 'CHANGE'],
    oldest_pending.map((one) => [timeForPeople(one.at), one.mchid, one.out_insurance_no, one.sync, one.command]),
  );
}

function blocked(report: Report): string {
  const rows = Object.entries(report.blocked).map(([code, count]) => [code, String(count)]);
  return rows.length === 0 ? '' : tableOf(['BLOCKED BY', 'POLICIES'], rows);
}

function drift({ drift: found, drift_since }: Report): string {
  if (found.length === 0) return `no difference was found since ${timeForPeople(drift_since)}`;
  const rows = found.map(({ field, kind, became, differences }) => [field, kind, became, String(differences)]);
  return tableOf(['DIFFERED', 'KIND', 'BECAME', `SINCE ${timeForPeople(drift_since)}`], rows);
}

function verifications({ never, within, overdue, oldest }: CountedVerifications): string {
  const rows = within.map(({ span, policies }) => [
    span === null ? 'longer ago' : `within ${spanText(span)}`,
    policies,
  ]);
  const table = tableOf(
    ['VERIFIED', 'POLICIES'],
    [...rows, ['not yet', never], ['overdue', overdue]].map((row) => row.map(String)),
  );
  if (!oldest) return table;
  return `${table}\noldest: ${oldest.mchid}/${oldest.out_insurance_no}, ${timeForPeople(oldest.verified_at)}`;
}

function spanText(span: number): string {
  return span < DAY ? `${span / (DAY / 24)} h` : `${span / DAY} d`;
}
