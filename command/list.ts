import { type Command, InvalidArgumentError } from 'commander';
import type { ListFilter } from '../client/list.ts';
import { standstillOf } from '../policy/standstill.ts';
import { instantOf, timeForPeople } from '../policy/time.ts';
import type { PolicySync } from '../workflows/messages.ts';
import { type Listing, type Row, withAttention } from './attention.ts';
import { messageOf } from './error_text.ts';
import { endWith, exitCodeOf } from './exit_code.ts';
import { type Filter, type OfPolicy, shortStateOf, wholeNumber, withCommon, withFilter } from './options.ts';
import { note, tableOf } from './output.ts';
import { withClient } from './session.ts';

interface Options extends OfPolicy, Filter {
  expiresBefore?: Date;
  attention?: boolean;
  limit: number;
}

const NEED_A_PERSON: readonly PolicySync[] = ['RETRYING', 'BLOCKED', 'DIVERGED'];
/** A reason is so long in a table; JSON has the whole. */
const LONGEST = 80;

export function addList(program: Command): void {
  const command = program.command('list').description("list policies by Temporal's search attributes");
  withFilter(withCommon(command).option('--mchid <id>', 'merchant (default: all)'))
    .option('--expires-before <time>', 'only those whose cover ends before, RFC 3339', time)
    .option(
      '--attention',
      'only what asks for a person, and why: policies out of step, stopped, terminated, paused or marked, merchants held, findings of the last audit',
    )
    .option('--limit <n>', 'at most so many policies', wholeNumber, 100)
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
    state: shortStateOf(options),
    sync: options.sync ? [options.sync] : options.attention ? NEED_A_PERSON : undefined,
    or_still: options.attention && !options.sync,
    type: options.type,
    expires_before: options.expiresBefore,
  };
  const found = await listed(filter, options).catch((error: unknown): Listing => {
    // What MongoDB knows asks for a person all the same.
    if (!options.attention || exitCodeOf(error) !== 3) throw error;
    note(`policies out of step are not shown: ${messageOf(error)}`);
    endWith(3);
    return { rows: [], cut: false };
  });
  const { rows, cut } = options.attention ? await withAttention(found, filter, options) : found;
  if (options.json) for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`);
  else if (rows.length === 0 && !cut) noteNone(options);
  else process.stdout.write(`${options.attention ? attentionText(rows) : textOf(rows)}\n`);
  if (cut) note(`there are more than --limit ${options.limit} lets through: a higher one shows them`);
}

/** Not where a part could not be asked for: it may be what asks for a person. */
function noteNone({ attention }: Options): void {
  if (!attention) note('no policy found');
  else if (!process.exitCode) note('nothing asks for a person');
}

async function listed(filter: ListFilter, options: Options): Promise<Listing> {
  return withClient(options, async (client) => {
    const { listPolicies } = await import('../client/list.ts');
    const rows: Row[] = [];
    for await (const policy of listPolicies(client, filter)) {
      if (rows.length === options.limit) return { rows, cut: true };
      rows.push(policy);
    }
    return { rows, cut: false };
  });
}

function textOf(rows: Row[]): string {
  const head = ['MERCHANT', 'NUMBER', 'STATE', 'SYNC', 'TYPE', 'EXPIRES'];
  return tableOf(
    head,
    rows.map((row) => [
      ...whichPolicy(row),
      row.type?.replace(/^POLICY_TYPE_/, '') ?? '',
      row.expires_at === null ? '' : timeForPeople(row.expires_at),
    ]),
  );
}

function attentionText(rows: Row[]): string {
  const head = ['MERCHANT', 'NUMBER', 'STATE', 'SYNC', 'CODE', 'REASON', 'SINCE', 'ATTENTION'];
  return tableOf(
    head,
    rows.map((row) => {
      const { code, reason, since, attention = [] } = row;
      // What the row says already is not said twice; of a merchant it says all.
      const more =
        row.out_insurance_no === null ? [] : attention.filter((one) => ![code, `${code}: ${reason}`].includes(one));
      return [...whichPolicy(row), code ?? '', shortened(reason ?? ''), since ?? '', more.map(shortened).join(', ')];
    }),
  );
}

function shortened(text: string): string {
  const characters = [...text];
  return characters.length > LONGEST ? `${characters.slice(0, LONGEST - 1).join('')}…` : text;
}

function whichPolicy({ mchid, out_insurance_no, state, sync, workflow }: Row): string[] {
  return [mchid ?? '', out_insurance_no ?? '', state ?? '', standstillOf(workflow)?.code ?? sync ?? ''];
}
