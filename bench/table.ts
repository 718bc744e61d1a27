import Table from 'cli-table3';
import { type Bench, type Figure, type Findings, isReached, type Limit } from './bench.ts';

/** What came of a bench. */
export interface Found {
  bench: Bench;
  findings: Findings;
  seconds: number;
}

const HEADS = ['bench', 'figure', 'found', 'to reach', 'reached', 'from'];

/** For people at a terminal. */
export function onScreen(found: readonly Found[]): string {
  const tables = [drawn([HEADS, ...rowsOf(found)])];
  for (const { bench, findings } of found) if (findings.more) tables.push(`${bench.name}\n${drawn(findings.more)}`);
  return tables.join('\n\n');
}

export function rowsOf(found: readonly Found[]): string[][] {
  return found.flatMap(({ bench, findings }) => findings.figures.map((figure) => rowOf(bench, figure)));
}

function rowOf({ name }: Bench, figure: Figure): string[] {
  const { what, value, unit, limit, from } = figure;
  const reached = limit ? (isReached(figure) ? 'yes' : 'no') : '';
  return [name, what, `${shown(value)}${unit}`, limit ? limitOf(limit, unit) : '', reached, from];
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
