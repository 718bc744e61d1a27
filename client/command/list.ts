import { type Command, InvalidArgumentError, Option } from 'commander';
import { POLICY_TYPES } from '../../policy/record.ts';
import { POLICY_STATES, shortState } from '../../policy/state.ts';
import { instantOf } from '../../policy/time.ts';
import type { ListedPolicy, ListFilter } from '../list.ts';
import { messageOf } from './error_text.ts';
import { type OfPolicy, ofPolicy, wholeNumber } from './options.ts';
import { note, tableOf } from './output.ts';
import { withClient } from './session.ts';
import { withStorage } from './storage.ts';

interface Options extends OfPolicy {
  state?: string;
  sync?: string;
  type?: string;
  expiresBefore?: Date;
  attention?: boolean;
  limit: number;
}

/** A policy with the marks that ask for a person, where MongoDB told them. */
type Row = ListedPolicy & { attention?: string[] };

const SYNCS = ['PENDING', 'RETRYING', 'SYNCED', 'BLOCKED', 'DIVERGED', 'STOPPED'];
const NEED_A_PERSON = ['RETRYING', 'BLOCKED', 'DIVERGED'];

export function addList(program: Command): void {
  const states = POLICY_STATES.flatMap((state) => [shortState(state), state]);
  const command = program.command('list').description("list policies by Temporal's search attributes");
  ofPolicy(command)
    .addOption(new Option('--state <state>', 'say APPROVED').choices(states))
    .addOption(new Option('--sync <sync>', 'say BLOCKED').choices(SYNCS))
    .addOption(new Option('--type <type>', 'say POLICY_TYPE_CAR').choices([...POLICY_TYPES]))
    .option('--expires-before <time>', 'RFC 3339', time)
    .option('--attention', 'only those that ask for a person: out of step, or marked in MongoDB')
    .option('--limit <n>', 'at most so many', wholeNumber, 100)
    .action((options: Options) => list(options));
}

function time(text: string): Date {
  const instant = instantOf(text);
  if (instant === undefined) throw new InvalidArgumentError('Expected a time such as 2025-09-21T17:11:12+08:00.');
  return new Date(instant);
}

async function list(options: Options): Promise<void> {
  const filter: ListFilter = {
    mchid: options.mchid,
    state: options.state?.replace(/^POLICY_STATE_/, ''),
    sync: options.sync ? [options.sync] : options.attention ? NEED_A_PERSON : undefined,
    type: options.type,
    expires_before: options.expiresBefore,
  };
  const rows = await listed(filter, options);
  if (options.attention) await addMarked(rows, filter, options);
  const shown = rows.slice(0, options.limit);
  if (options.json) for (const row of shown) process.stdout.write(`${JSON.stringify(row)}\n`);
  else if (shown.length === 0) note('no policy found');
  else process.stdout.write(`${textOf(shown)}\n`);
}

async function listed(filter: ListFilter, options: Options): Promise<Row[]> {
  return withClient(options, async (client) => {
    const { listPolicies } = await import('../list.ts');
    const rows: Row[] = [];
    if (options.limit === 0) return rows;
    for await (const policy of listPolicies(client, filter)) if (rows.push(policy) >= options.limit) break;
    return rows;
  });
}

/** Marks are in MongoDB only; without it the list is of what is out of step, and says so. */
async function addMarked(rows: Row[], filter: ListFilter, { limit, sync }: Options): Promise<void> {
  const { mchid, state, type, expires_before } = filter;
  const conditions = {
    mchid,
    policy_type: type,
    expires_before,
    attention: true,
    ...(state && { policy_state: `POLICY_STATE_${state}` as (typeof POLICY_STATES)[number] }),
    ...(sync && { sync: sync as 'SYNCED' }),
  };
  try {
    const found = await withStorage(async (storage) => {
      const { listPolicies } = await import('../../storage/policies.ts');
      for await (const document of listPolicies(storage, conditions, { limit })) {
        const { mchid, out_insurance_no, attention } = document;
        const row = rows.find((one) => one.mchid === mchid && one.out_insurance_no === out_insurance_no);
        if (row) row.attention = attention;
        else rows.push(rowOf(document));
      }
      return true;
    });
    if (!found) note('marks for attention are in MongoDB: set MONGODB_URI to see them');
  } catch (error) {
    note(`marks for attention are not shown: ${messageOf(error)}`);
  }
}

type Document = Awaited<ReturnType<typeof import('../../storage/policies.ts').findPolicy>> & object;

function rowOf(document: Document): Row {
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
    attention: document.attention,
  };
}

function textOf(rows: Row[]): string {
  const marked = rows.some((row) => row.attention);
  const head = ['MERCHANT', 'NUMBER', 'STATE', 'SYNC', 'TYPE', 'EXPIRES', ...(marked ? ['ATTENTION'] : [])];
  return tableOf(
    head,
    rows.map((row) => [
      row.mchid,
      row.out_insurance_no,
      row.state ?? '',
      row.sync ?? '',
      row.type?.replace(/^POLICY_TYPE_/, '') ?? '',
      row.expires_at ?? '',
      ...(marked ? [row.attention?.join(', ') ?? ''] : []),
    ]),
  );
}
