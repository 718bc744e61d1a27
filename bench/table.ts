import Table from 'cli-table3';
import { type Bench, type Figure, type Findings, isReached, type Limit } from './bench.ts';

/** What came of a bench. */
export interface Found {
  bench: Pick<Bench, 'name' | 'about'>;
  findings: Findings;
  seconds: number;
}

const HEADS = ['bench', 'figure', 'found', 'to reach', 'reached', 'from'];
/** The table of the document stands between these. */
const [BEGIN, END] = ['<!-- bench: begin -->', '<!-- bench: end -->'];

/** For people at a terminal. */
export function onScreen(found: readonly Found[]): string {
  const tables = [drawn([HEADS, ...rowsOf(found)])];
  for (const { bench, findings } of found) if (findings.more) tables.push(`${bench.name}\n${drawn(findings.more)}`);
  return tables.join('\n\n');
}

/** In place of the table that a document has so far. */
export function inDocument(document: string, found: readonly Found[], machine: string): string {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`expected ${BEGIN} and ${END} in the document, found no such pair`);
  const tables = [machine, markdown([HEADS, ...rowsOf(found)])];
  for (const { bench, findings } of found)
    if (findings.more) tables.push(`\`${bench.name}\`:`, markdown(findings.more));
  return `${document.slice(0, begin + BEGIN.length)}\n\n${tables.join('\n\n')}\n\n${document.slice(end)}`;
}

function rowsOf(found: readonly Found[]): string[][] {
  return found.flatMap(({ bench, findings }) => findings.figures.map((figure) => rowOf(bench.name, figure)));
}

function rowOf(bench: string, figure: Figure): string[] {
  const { what, value, unit, limit, from } = figure;
  const reached = limit ? (isReached(figure) ? 'yes' : 'no') : '';
  return [bench, what, `${shown(value)}${unit}`, limit ? limitOf(limit, unit) : '', reached, from];
}

function limitOf(limit: Limit, unit: string): string {
  return 'least' in limit ? `≥ ${limit.least}${unit}` : `≤ ${limit.most}${unit}`;
}

/** Three digits are what a run can tell. */
function shown(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(3))) : 'none';
}

function drawn([head = [], ...rows]: readonly string[][]): string {
  const table = new Table({ head: [...head], style: { head: [], border: [], compact: true } });
  table.push(...rows.map((row) => [...row]));
  return table.toString();
}

function markdown([head = [], ...rows]: readonly string[][]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}
