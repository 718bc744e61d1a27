import { type Command, InvalidArgumentError } from 'commander';
import { POLICY_FIELDS } from '../policy/fields.ts';
import { instantOf, timeForPeople } from '../policy/time.ts';
import type { Storage } from '../storage/connection.ts';
import type { ReadPolicy } from '../storage/policies.ts';
import { type CsvTable, csvTable } from './csv_table.ts';
import { messageOf } from './error_text.ts';
import { endWith } from './exit_code.ts';
import { merchantIfSaid } from './merchant.ts';
import { note, print, tableOf, valueText } from './output.ts';
import type { Progress } from './progress.ts';
import type { Reconciled, ReconciledAll } from './reconciled.ts';
import { withMongodb } from './storage.ts';

interface Options {
  asOf: Date;
  csv?: string;
  mchid?: string;
  json?: boolean;
  reveal?: boolean;
}

export function addReconcile(program: Command): void {
  program
    .command('reconcile')
    .description(
      'tell of each policy what we held, and what WeChat Pay was last seen to hold, at a date gone by, from what MongoDB keeps; what that does not tell is unknown; exit 4 where something differed',
    )
    .requiredOption('--as-of <date>', 'a date, which is its end in China, or a time, RFC 3339', dateOrTime)
    .option('--csv <file>', 'write a line for each policy into this file, as CSV; - is standard output')
    .option('--json', 'write JSON, for programs')
    .option('--mchid <id>', 'merchant (default: all)')
    .option('--reveal', 'show personal values')
    .action((options: Options) => reconcile(options));
}

function dateOrTime(text: string): Date {
  const instant = instantOf(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T23:59:59+08:00` : text);
  if (instant === undefined)
    throw new InvalidArgumentError('Expected a date such as 2026-11-30, or a time such as 2026-11-30T12:00:00+08:00.');
  // The whole of its last second, unless a part of it is named.
  return new Date(text.includes('.') ? instant : instant + 999);
}

async function reconcile(options: Options): Promise<void> {
  const { asOf, csv, json } = options;
  const mchid = options.mchid === undefined ? undefined : await merchantIfSaid(options.mchid);
  const table = csv === undefined ? undefined : csvTable(csv, COLUMNS);
  const progress = (await import('./progress.ts')).startProgress('reconciled', undefined, csv);
  const all: ReconciledAll = { as_of: asOf, policies: 0, same: 0, differs: 0, unknown: 0 };
  await withMongodb('reconcile', async (storage) => {
    for await (const one of reconciledAll(storage, mchid, options, progress)) {
      progress.count();
      all.policies++;
      all[one.verdict]++;
      if (table) await table.write(rowOf(one));
      else if (json) progress.say(JSON.stringify(one));
      else if (one.verdict !== 'same') progress.say(textOf(one));
    }
  })
    .finally(() => progress.stop())
    .finally(() => table?.end());
  // Standard output has the table.
  if (csv === '-') note(summaryText(all));
  else print(json, { summary: all }, () => summaryText(all));
  if (all.differs > 0) endWith(4);
}

/** Looked at at a time: each costs some reads. */
const AT_ONCE = 8;
const PAGE = 1_000;

async function* reconciledAll(
  storage: Storage,
  mchid: string | undefined,
  { asOf, reveal }: Options,
  progress: Progress,
): AsyncGenerator<Reconciled> {
  const [{ listPolicies }, { StorageUnreadable }, { inOrder }, { reconciledOf }] = await Promise.all([
    import('../storage/policy_list.ts'),
    import('../storage/errors.ts'),
    import('./in_order.ts'),
    import('./reconciled.ts'),
  ]);
  const filter = mchid === undefined ? {} : { mchid };
  for (let after = ''; ; ) {
    const page: ReadPolicy[] = [];
    for await (const policy of listPolicies(storage, filter, { limit: PAGE, after })) page.push(policy);
    for await (const { result } of inOrder(page, AT_ONCE, (policy) => reconciledOf(storage, policy, asOf, reveal))) {
      if (result.status === 'fulfilled') {
        if (result.value) yield result.value;
        continue;
      }
      if (!(result.reason instanceof StorageUnreadable)) throw result.reason;
      // What one record has sealed for another key must not hide the others.
      progress.note(messageOf(result.reason));
      endWith(1);
    }
    if (page.length < PAGE) return;
    after = page.at(-1)?._id ?? after;
  }
}

const FIELDS = Object.keys(POLICY_FIELDS).filter((field) => field !== 'out_insurance_no');

const COLUMNS = [
  ...['mchid', 'out_insurance_no', 'as_of', 'verdict', 'differs', 'seen_at', 'absent'],
  ...FIELDS.flatMap((field) => [`ours_${field}`, `theirs_${field}`]),
];

/** Of a field that nobody knows, `unknown`; of one that was empty, nothing. */
function rowOf(one: Reconciled): Parameters<CsvTable['write']>[0] {
  const { ours, theirs, unknown } = one;
  const cell = (side: 'ours' | 'theirs', field: string): string => {
    const fields = { ours, theirs }[side];
    return fields === null || unknown[side].includes(field) ? 'unknown' : valueText(fields[field], '');
  };
  return {
    mchid: one.mchid,
    out_insurance_no: one.out_insurance_no,
    as_of: timeForPeople(one.as_of),
    verdict: one.verdict,
    differs: one.differs.join(' '),
    seen_at: one.seen_at ? timeForPeople(one.seen_at) : '',
    absent: one.absent ? 'true' : '',
    ...Object.fromEntries(
      FIELDS.flatMap((field) => [
        [`ours_${field}`, cell('ours', field)],
        [`theirs_${field}`, cell('theirs', field)],
      ]),
    ),
  };
}

function textOf({
  mchid,
  out_insurance_no,
  verdict,
  differs,
  ours,
  theirs,
  seen_at,
  absent,
  unknown,
}: Reconciled): string {
  const seen = seen_at ? `, WeChat Pay seen ${timeForPeople(seen_at)}` : '';
  const head = `${mchid}/${out_insurance_no}: ${verdict}${seen}`;
  if (absent) return `${head}: it had no such policy`;
  const rows = differs.map((field) => [field, valueText(ours[field]), valueText(theirs?.[field])]);
  const blind = [...new Set([...unknown.ours, ...unknown.theirs])];
  const untold =
    theirs === null ? ': what it held is not known' : blind.length > 0 ? `: not known: ${blind.join(', ')}` : '';
  return rows.length === 0 ? `${head}${untold}` : `${head}${untold}\n${tableOf(['FIELD', 'OURS', 'WECHAT PAY'], rows)}`;
}

function summaryText({ as_of, policies, same, differs, unknown }: ReconciledAll): string {
  return `${timeForPeople(as_of)}: ${policies} policies: ${same} the same, ${differs} different, ${unknown} not known whole`;
}
