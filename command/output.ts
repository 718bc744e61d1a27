import Table from 'cli-table3';

/** Writes a result: as one line of JSON, or as people read it. */
export function print(json: boolean | undefined, value: unknown, text: () => string): void {
  process.stdout.write(json ? `${JSON.stringify(value)}\n` : `${text()}\n`);
}

/** A line beside the result. */
export function note(text: string): void {
  process.stderr.write(`policy-sync: ${text}\n`);
}

/** A value in a cell. */
export function valueText(value: unknown, none = 'none'): string {
  if (value === undefined || value === null) return none;
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** A table without frames: columns two blanks apart. */
export function tableOf(head: string[], rows: string[][]): string {
  return plainTable({ head, rows });
}

/** Names and values, a pair a line. */
export function pairsOf(rows: [string, string][]): string {
  return plainTable({ rows });
}

function plainTable({ head, rows }: { head?: string[]; rows: string[][] }): string {
  const table = new Table({
    ...(head && { head }),
    chars: FRAMELESS,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
  });
  table.push(...rows);
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

const FRAMELESS = Object.fromEntries(
  [
    ...['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right'],
    ...['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'],
  ].map((part) => [part, '']),
);
