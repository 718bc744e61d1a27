import { extname } from 'node:path';
import { isRecord } from '../../policy/kind.ts';
import type { RecordInput } from '../../policy/record.ts';
import { messageOf } from '../error_text.ts';
import { jsonOf, recordIn } from '../input.ts';
import { columnsOf, recordOfRow } from './columns.ts';
import { rowsIn } from './csv.ts';
import { type Fault, faultOfLine } from './fault.ts';
import { type Line, linesOf } from './lines.ts';
import type { Source } from './source.ts';

/** A record of a file, not checked yet, by the line that it begins on. */
export type Given = Good | { line: number; fault: Fault };

export interface Good {
  line: number;
  record: RecordInput;
}

/** What records have that do not say otherwise. */
interface Defaults {
  mchid?: string | undefined;
  /** They are watched and compared, and not written. */
  observe?: boolean | undefined;
}

/**
 * The records of a file: CSV with a header, or one JSON record a line. What a record does not say is as import has it: `mchid`
 * as given, and `adopt: report`. Throws an error of one line where the file as a whole cannot be read.
 */
export async function* recordsOf(source: Source, defaults: Defaults = {}): AsyncGenerator<Given> {
  const lines = linesOf(source);
  for await (const first of lines) {
    if (first.text.trim() === '') continue;
    const all = withFirst(first, lines);
    for await (const given of isCsv(source, first) ? fromCsv(source.name, all) : fromJson(all))
      yield 'record' in given ? { ...given, record: withDefaults(given.record, defaults) } : given;
    return;
  }
}

async function* withFirst(first: Line, lines: AsyncGenerator<Line>): AsyncGenerator<Line> {
  yield first;
  yield* lines;
}

/** By its name, or by how it begins: no header of CSV begins like a record. */
function isCsv({ path = '' }: Source, { text }: Line): boolean {
  const kind = extname(path).toLowerCase();
  if (kind === '.csv') return true;
  return !['.jsonl', '.ndjson', '.json'].includes(kind) && !text.trimStart().startsWith('{');
}

async function* fromJson(lines: AsyncIterable<Line>): AsyncGenerator<Given> {
  for await (const { line, text } of lines) {
    if (text.trim() === '') continue;
    try {
      yield { line, record: recordIn(jsonOf('record', text)) };
    } catch (error) {
      yield { line, fault: faultOfLine('json', messageOf(error)) };
    }
  }
}

async function* fromCsv(name: string, lines: AsyncIterator<Line>): AsyncGenerator<Given> {
  let columns: ReturnType<typeof columnsOf> | undefined;
  for await (const row of rowsIn(lines)) {
    const { line } = row;
    if (!columns) columns = headerOf(`${name}, line ${line}`, 'cells' in row ? row.cells : []);
    else if ('fault' in row) yield row;
    else if (row.cells.length !== columns.length)
      yield { line, fault: faultOfLine('csv', `expected ${columns.length} cells, found ${row.cells.length}`) };
    else yield { line, record: recordOfRow(columns, row.cells) as RecordInput };
  }
}

function headerOf(where: string, cells: string[]): ReturnType<typeof columnsOf> {
  try {
    return columnsOf(cells);
  } catch (error) {
    throw new Error(`${where}: ${messageOf(error)}`);
  }
}

/** `null` is absent. A fleet that is brought in is only reported on where it differs, until somebody has looked. */
function withDefaults(record: RecordInput, { mchid, observe }: Defaults): RecordInput {
  if (!isRecord(record)) return record;
  const merchant = record.mchid ?? mchid;
  const watched = observe && { observe: record.observe ?? true };
  return { ...record, ...(merchant !== undefined && { mchid: merchant }), adopt: record.adopt ?? 'report', ...watched };
}
