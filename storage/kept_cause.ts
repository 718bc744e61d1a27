import { differences } from '../policy/difference.ts';
import { durationOf } from '../policy/duration.ts';
import { standstillOf } from '../policy/standstill.ts';
import { listCalls } from './calls.ts';
import { type Cause, causeOf, NO_CAUSE } from './cause.ts';
import { listCommands } from './commands.ts';
import type { Storage } from './connection.ts';
import { listDiscrepancies } from './discrepancies.ts';
import { findPolicy, type ReadPolicy } from './policies.ts';

/** So many of a policy's latest calls, commands and discrepancies are looked at. */
const LATEST = 20;

/**
 * Why a policy asks for a person, as MongoDB knows it: what its `sync` stands for, or else its first mark.
 * @throws StorageError
 */
export async function keptCause(storage: Storage, mchid: string, out_insurance_no: string): Promise<Cause> {
  const kept = await findPolicy(storage, mchid, out_insurance_no);
  return kept ? causeOfPolicy(storage, kept) : NO_CAUSE;
}

/**
 * The same of a policy that has been read.
 * @throws StorageError
 */
export async function causeOfPolicy(storage: Storage, kept: ReadPolicy): Promise<Cause> {
  if (kept.sync === 'STOPPED') return causeOf('STOPPED', standstillOf('CANCELLED')?.reason ?? null, kept.ended_at);
  if (kept.sync === 'DIVERGED') return diverged(storage, kept);
  if (kept.sync === 'RETRYING') return retrying(storage, kept);
  if (kept.sync === 'BLOCKED' && kept.block) return causeOf(kept.block.code, kept.block.message, kept.block.at);
  const [mark] = kept.attention;
  return mark === undefined ? NO_CAUSE : marked(storage, kept, mark);
}

async function diverged(storage: Storage, { _id, record, remote }: ReadPolicy): Promise<Cause> {
  const left = (await listDiscrepancies(storage, _id, LATEST)).filter(
    ({ became }) => became === 'reported' || became === 'contested',
  );
  if (left[0]?.kind === 'absent')
    return causeOf('DIVERGED', 'WeChat Pay has no such policy any more', left[0].found_at);
  const differing = differences(record.policy, remote ?? {}).map(({ field }) => field);
  const about = left.filter(({ field }) => differing.includes(field));
  const fields = [...new Set(about.map(({ field }) => field))];
  return causeOf('DIVERGED', `WeChat Pay holds otherwise: ${fields.join(', ')}`, about.at(-1)?.found_at);
}

/** What waits, and what the last try came to. */
async function retrying(storage: Storage, { _id, synced_revision }: ReadPolicy): Promise<Cause> {
  const [calls, commands] = [await listCalls(storage, _id, LATEST), await listCommands(storage, _id, LATEST)];
  const waits = commands
    .filter(({ rule, confirmed_at, revision }) => rule === null && confirmed_at === null && revision > synced_revision)
    .at(-1);
  const last = calls.find((call) => 'outcome' in call);
  const came = last && `${last.method} ${last.outcome}${last.status === null ? '' : `, HTTP ${last.status}`}`;
  return causeOf(last?.code ?? 'RETRYING', came ?? 'no call has been answered yet', waits?.at ?? calls.at(-1)?.at);
}

async function marked(storage: Storage, kept: ReadPolicy, mark: string): Promise<Cause> {
  const [name = '', about = ''] = mark.split(':');
  const { opened_at, record } = kept;
  const found = async () => (await listDiscrepancies(storage, kept._id, LATEST)).find(({ field }) => field === about);
  const came = async (is: (command: { command: string; rule: string | null }) => boolean) =>
    (await listCommands(storage, kept._id, LATEST)).find(is);
  switch (name) {
    case 'contested':
      return causeOf(mark, 'drifted again and again, and is not pushed any more', (await found())?.found_at);
    case 'unreadable':
      return causeOf(mark, 'sealed for a key that the merchant settings have not got', (await found())?.found_at);
    case 'refused-signal':
      return causeOf(mark, 'a signal was illegal, and ignored', (await came(({ rule }) => rule === about))?.at);
    case 'reset':
      return causeOf(mark, 'its workflow was reset', (await came(({ command }) => command === 'reset'))?.at);
    case 'issuing-overdue': {
      const due = opened_at.getTime() + (durationOf(record.issuing_alert_after) ?? 0);
      return causeOf(mark, `ISSUING for longer than ${record.issuing_alert_after}`, new Date(due));
    }
    case 'issuing-past-expiry':
      return causeOf(mark, 'ISSUING though its cover has ended', record.policy.expired_time);
    default:
      return causeOf(mark, null, null);
  }
}
