import { POLICY_FIELDS, UPLOAD_FIELDS } from '../../policy/fields.ts';
import { nearest } from '../../policy/names.ts';
import { policyFieldsSchema, recordSchema } from '../../policy/record.ts';
import { RECORD_WORDS, RENEWAL_WORDS, VERIFICATION_WORDS } from '../../policy/words.ts';

// What a column of a CSV file may be called, and what its cells mean.

const PARTS = { upload: UPLOAD_FIELDS, renewal: RENEWAL_WORDS, verification: VERIFICATION_WORDS } as const;
/** A field that WeChat Pay has added has no column: what its cells mean, nobody knows. */
const NO_COLUMN: ReadonlySet<string> = new Set(['policy', 'extra_fields', ...Object.keys(PARTS)]);

/** Where the value of each column stands in a record: fields of the policy by their bare names, settings by dotted ones. */
const COLUMNS: ReadonlyMap<string, readonly string[]> = new Map<string, readonly string[]>([
  ...Object.keys(RECORD_WORDS)
    .filter((name) => !NO_COLUMN.has(name))
    .map((name) => [name, [name]] as const),
  ...Object.keys(POLICY_FIELDS).map((name) => [name, ['policy', name]] as const),
  ...Object.entries(PARTS).flatMap(([part, fields]) =>
    Object.keys(fields).map((name) => [`${part}.${name}`, [part, name]] as const),
  ),
]);

export const COLUMN_NAMES: readonly string[] = [...COLUMNS.keys()];

type Kind = 'text' | 'flag' | 'number' | 'texts' | 'numbers';
interface Column {
  path: readonly string[];
  kind: Kind;
}

/** The columns of a header. @throws an error of one line, without the place */
export function columnsOf(header: readonly string[]): Column[] {
  const unknown = header.find((name) => !COLUMNS.has(name));
  if (unknown !== undefined) throw new Error(noColumn(unknown));
  const twice = header.find((name, at) => header.indexOf(name) !== at);
  if (twice !== undefined) throw new Error(`expected each column once, found ${twice} twice`);
  if (!header.includes('out_insurance_no')) throw new Error('expected a column out_insurance_no, found none');
  return header.map((name) => ({ path: COLUMNS.get(name) ?? [], kind: kindOf(name) }));
}

function noColumn(name: string): string {
  if (name === 'extra_fields') return 'extra_fields has no column: a field that WeChat Pay has added needs JSON lines';
  // Other columns have dotted names.
  const near = nearest(name.replace(/^policy\./, ''), COLUMN_NAMES);
  // A file without a header has a record there: nothing of it is quoted.
  return near === undefined
    ? 'expected the names of columns, found another: the first line is a header'
    : `expected the names of columns: there is no ${JSON.stringify(name)}, the nearest is ${near}`;
}

const SHAPE = { ...recordSchema.shape, ...policyFieldsSchema.shape } as Record<
  string,
  { safeParse(value: unknown): { success: boolean } }
>;

/** By what the schema of a field takes, or of a setting of the record; dotted ones are texts. */
function kindOf(column: string): Kind {
  const takes = (value: unknown): boolean => SHAPE[column]?.safeParse(value).success ?? false;
  if (takes([0])) return 'numbers';
  if (takes([])) return 'texts';
  if (takes(true)) return 'flag';
  return takes(0) ? 'number' : 'text';
}

/** The record of a row; an empty cell is absent. What a cell cannot mean is left as text, for the schema to refuse. */
export function recordOfRow(columns: readonly Column[], cells: readonly string[]): Record<string, unknown> {
  const record: Record<string, unknown> & { policy: Record<string, unknown> } = { policy: {} };
  for (const [at, { path, kind }] of columns.entries()) {
    const cell = cells[at] ?? '';
    const [part = '', name] = path;
    if (cell === '') continue;
    const value = meaningOf(cell, kind);
    record[part] = name === undefined ? value : { ...(record[part] as object), [name]: value };
  }
  return record;
}

function meaningOf(cell: string, kind: Kind): unknown {
  if (kind === 'flag') return /^(true|false)$/i.test(cell) ? cell.toLowerCase() === 'true' : cell;
  if (kind === 'number') return numberOf(cell);
  if (kind === 'text') return cell;
  const list = listOf(cell);
  return kind === 'numbers' ? list.map((one) => (typeof one === 'string' ? numberOf(one) : one)) : list;
}

/** Not where the number would be spelled otherwise: 007 and 20 digits stay text. */
function numberOf(text: string): number | string {
  const number = Number(text);
  return Number.isSafeInteger(number) && String(number) === text ? number : text;
}

/** Values between `;`, `；` or `|`; a cell that begins with `[` is JSON, for values that have one of these in them. */
function listOf(cell: string): unknown[] {
  if (cell.startsWith('[')) {
    try {
      return JSON.parse(cell);
    } catch {
      // Then it is a text like any other.
    }
  }
  return cell
    .split(/[;；|]/)
    .map((one) => one.trim())
    .filter((one) => one !== '');
}
