import { CsvError, parse } from 'csv-parse/sync';
import { type Fault, faultOfLine } from './fault.ts';
import type { Line } from './lines.ts';

/** A row of CSV by the line that it begins on. */
export type Row = { line: number } & ({ cells: string[] } | { fault: Fault });

/** A quoted cell may go over lines; what goes over more has lost its closing quote. */
const MOST_LINES = 100;

/**
 * The rows of CSV (RFC 4180), empty lines left out. A row that cannot be read costs its first line alone: what follows is read
 * anew, so that a stray quote does not hide the rest of the file.
 */
export async function* rowsIn(lines: AsyncIterator<Line>): AsyncGenerator<Row> {
  const unread: Line[] = [];
  const next = async (): Promise<Line | undefined> => unread.shift() ?? (await lines.next()).value;
  for (let first = await next(); first !== undefined; first = await next()) {
    if (first.text.trim() === '') continue;
    const row = [first];
    for (let open = quotesIn(first) % 2 === 1; open && row.length < MOST_LINES; ) {
      const more = await next();
      if (more === undefined) break;
      row.push(more);
      if (quotesIn(more) % 2 === 1) open = false;
    }
    const cells = cellsOf(row.map(({ text }) => text).join('\n'));
    if (cells) yield { line: first.line, cells };
    else {
      unread.unshift(...row.slice(1));
      yield { line: first.line, fault: faultOfLine('csv', 'expected a row of CSV, found a stray quote in it') };
    }
  }
}

function quotesIn({ text }: Line): number {
  return text.split('"').length - 1;
}

/** Blanks around cells are no part of them, unless they are quoted. */
function cellsOf(row: string): string[] | undefined {
  try {
    return parse(row, { record_delimiter: '\n', trim: true })[0];
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    return undefined;
  }
}
