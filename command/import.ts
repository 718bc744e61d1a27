import { type Command, InvalidArgumentError } from 'commander';
import { messageOf } from './error_text.ts';
import { endWith, exitCodeOf } from './exit_code.ts';
import type { Given, Good } from './import/records.ts';
import type { Report } from './import/report.ts';
import type { Source } from './import/source.ts';
import { merchantIfSaid } from './merchant.ts';
import { type Common, milliseconds, wholeNumber, withCommon } from './options.ts';
import { note, print } from './output.ts';
import { withClient } from './session.ts';

interface Options extends Common {
  mchid?: string;
  report?: string;
  skipBad?: boolean;
  dryRun?: boolean;
  observe?: boolean;
  atOnce: number;
  /** In ms. */
  keepTrying?: number;
  by?: string;
}

/** What became of a file. */
export interface Imported {
  /** Records in it, bad lines too. */
  records: number;
  bad: number;
  opened: number;
  already_open: number;
  failed: number;
  /** What names each bad line and each failure; null where there is none. */
  report: string | null;
  /** Why not all good records were tried, in one line; null where they were. */
  stopped: string | null;
}

const KEEP_TRYING_MS = 5 * 60_000;
const MOST_AT_ONCE = 1000;
/** So many bad lines are told here; the report has all. */
const SHOWN = 3;

export function addImport(program: Command): void {
  withCommon(program.command('import <FILE>'))
    .description(
      'open the policies of a fleet: FILE, or - for standard input, is CSV with a header, or has one JSON record on each line; all of it is checked before any is opened, and what is open already is left as it is',
    )
    .option(
      '--mchid <id>',
      'merchant of records that name none (default: POLICY_SYNC_MCHID, or the only one of WECHATPAY_MERCHANTS)',
    )
    .option('--dry-run', 'check only: nothing is opened')
    .option('--observe', 'watch and compare them only, until `observe off`: another system still writes them')
    .option('--skip-bad', 'open the others where lines are bad: nothing is opened otherwise')
    .option('--report <file>', 'where bad lines and failures are named (default: FILE.report.jsonl)')
    .option('--at-once <n>', `open so many at a time, 1 to ${MOST_AT_ONCE}`, atOnce, 32)
    .option(
      '--keep-trying <duration>',
      'how long to try again while Temporal or its workers do not answer (default: 5m)',
      milliseconds,
    )
    .option('--by <who>', 'who asked for it, for the history of commands')
    .action((file: string, options: Options) => importFile(file, options));
}

function atOnce(text: string): number {
  const count = wholeNumber(text);
  if (count < 1 || count > MOST_AT_ONCE) throw new InvalidArgumentError(`Expected 1 to ${MOST_AT_ONCE}.`);
  return count;
}

async function importFile(file: string, options: Options): Promise<void> {
  const [{ sourceOf }, { reportPath, startReport }] = await Promise.all([
    import('./import/source.ts'),
    import('./import/report.ts'),
  ]);
  const mchid = await merchantIfSaid(options.mchid);
  const source = await sourceOf(file);
  try {
    const report = startReport(options.report ?? reportPath(source), source);
    const work: Work = { source, mchid, report, options };
    try {
      const { records, badLines } = await check(work);
      const bad = badLines.size;
      const checked: Imported = { records, bad, ...NOTHING, report: bad > 0 ? report.path : null };
      if (options.dryRun || (bad > 0 && !options.skipBad)) tellChecked(checked, options);
      else tell(await open(work, checked, badLines), options);
    } finally {
      report.close();
    }
  } finally {
    await source.close();
  }
}

const NOTHING = { opened: 0, already_open: 0, failed: 0, report: null, stopped: null } as const;

/** What is being imported, and how. */
interface Work {
  source: Source;
  mchid: string | undefined;
  report: Report;
  options: Options;
}

async function check({ source, mchid, report, options }: Work): Promise<{ records: number; badLines: Set<number> }> {
  const [{ recordsOf }, { checkedOf }, { startProgress }] = await Promise.all([
    import('./import/records.ts'),
    import('./import/check.ts'),
    import('./progress.ts'),
  ]);
  const badLines = new Set<number>();
  let records = 0;
  const progress = startProgress('checked');
  try {
    for await (const { faults, ...about } of checkedOf(recordsOf(source, { mchid, observe: options.observe }))) {
      records++;
      progress.count();
      if (faults.length === 0) continue;
      badLines.add(about.line);
      if (badLines.size <= SHOWN) progress.note(`${source.name}, line ${about.line}: ${faults[0]?.message}`);
      for (const fault of faults) report.add({ ...about, ...fault });
    }
  } finally {
    progress.stop();
  }
  if (records === 0) throw new Error(`${source.name}: expected records, found none`);
  return { records, badLines };
}

async function open({ source, mchid, report, options }: Work, checked: Imported, bad: Set<number>): Promise<Imported> {
  const [{ recordsOf }, { openAll }, { startProgress }] = await Promise.all([
    import('./import/records.ts'),
    import('./import/opening.ts'),
    import('./progress.ts'),
  ]);
  const became = { ...checked };
  const stop = new AbortController();
  const forget = onSignal((signal) => stop.abort(new Error(`told to end by ${signal}`)));
  const progress = startProgress('opened', checked.records - checked.bad);
  try {
    await withClient(options, (client) =>
      openAll(client, goodOf(recordsOf(source, { mchid, observe: options.observe }), bad, stop.signal), {
        envelope: options.by === undefined ? {} : { by: options.by },
        atOnce: options.atOnce,
        keepTrying: options.keepTrying ?? KEEP_TRYING_MS,
        stop,
        note: progress.note,
        opened: (how) => {
          became[how]++;
          progress.count();
        },
        failed: (what, error) => {
          report.add(what);
          became.failed++;
          endWith(exitCodeOf(error));
          progress.count();
        },
      }),
    );
  } finally {
    progress.stop();
    forget();
  }
  if (bad.size > 0) endWith(1);
  if (stop.signal.aborted) {
    became.stopped = messageOf(stop.signal.reason);
    // Whether it is worth to run it again counts more than what was refused on the way.
    process.exitCode = exitCodeOf(stop.signal.reason);
  }
  return { ...became, report: bad.size + became.failed > 0 ? report.path : null };
}

/** The records that were good when they were checked, until nothing more is wanted. */
async function* goodOf(given: AsyncIterable<Given>, bad: Set<number>, stopped: AbortSignal): AsyncGenerator<Good> {
  for await (const one of given) {
    if (stopped.aborted) return;
    if ('record' in one && !bad.has(one.line)) yield one;
  }
}

/** The first signal is told; another one ends the process as it always does. */
function onSignal(told: (signal: NodeJS.Signals) => void): () => void {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.once(signal, told);
  return () => {
    for (const signal of signals) process.off(signal, told);
  };
}

function tellChecked(checked: Imported, { dryRun, json }: Options): void {
  const { records, bad, report } = checked;
  print(json, checked, () => `${records} records: ${records - bad} good, ${bad} bad; nothing was opened`);
  if (bad === 0) return;
  endWith(1);
  const rest = dryRun ? '' : ', or open the others with --skip-bad';
  note(`${report} names what is wrong: correct it${rest}`);
}

function tell(imported: Imported, { json }: Options): void {
  const { records, bad, opened, already_open, failed, report, stopped } = imported;
  const left = records - bad - opened - already_open - failed;
  print(json, imported, () => {
    const parts = [`${opened} opened`, `${already_open} open already`, `${failed} failed`, `${bad} bad`];
    return `${records} records: ${parts.join(', ')}${left > 0 ? `, ${left} left` : ''}`;
  });
  if (report !== null) note(`${report} names what is bad, and what failed`);
  if (stopped !== null) note(`${stopped}; run the same again to go on: what is open by then is left as it is`);
}
