import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type Checked, checkedOf } from '../command/import/check.ts';
import { type Given, recordsOf } from '../command/import/records.ts';
import { type Source, sourceOf } from '../command/import/source.ts';
import type { RecordInput } from '../policy/record.ts';

/** Records as a spreadsheet would write them: a column for each field that any has, every cell quoted. */
export function csvOf(records: readonly RecordInput[]): string {
  const rows = records.map(cellsOf);
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const quoted = (cell: string): string => `"${cell.replaceAll('"', '""')}"`;
  return [columns, ...rows.map((row) => columns.map((column) => row[column] ?? ''))]
    .map((cells) => cells.map(quoted).join(','))
    .join('\r\n');
}

function cellsOf({ policy, ...record }: RecordInput): Record<string, string> {
  const settings = Object.entries(record).flatMap(([name, value]) =>
    typeof value === 'object' ? Object.entries(value).map(([part, of]) => [`${name}.${part}`, of]) : [[name, value]],
  );
  const cells = [...Object.entries(policy), ...settings].filter(([, value]) => value !== undefined);
  return Object.fromEntries(cells.map(([name, value]) => [name, cellOf(value)]));
}

function cellOf(value: unknown): string {
  if (!Array.isArray(value)) return String(value);
  const plain = value.every((one) => !/[;；|]|^\[|^\s|\s$/.test(String(one)));
  return plain && value.length > 0 ? value.join(';') : JSON.stringify(value);
}

export function jsonLinesOf(records: readonly unknown[]): string {
  return records.map((record) => JSON.stringify(record)).join('\n');
}

/** A folder for files to import. */
export class Files {
  readonly #folder = mkdtemp(join(tmpdir(), 'policy-sync-import-test-'));

  async put(name: string, content: string | Buffer): Promise<string> {
    const file = join(await this.#folder, name);
    await writeFile(file, content);
    return file;
  }

  async remove(): Promise<void> {
    await rm(await this.#folder, { recursive: true, force: true });
  }

  /** The records of a file as import reads them. */
  async given(name: string, content: string | Buffer, mchid?: string): Promise<Given[]> {
    return this.#read(name, content, (source) => all(recordsOf(source, { mchid })));
  }

  async checked(name: string, content: string | Buffer, mchid?: string): Promise<Checked[]> {
    return this.#read(name, content, (source) => all(checkedOf(recordsOf(source, { mchid }))));
  }

  async #read<T>(name: string, content: string | Buffer, read: (source: Source) => Promise<T>): Promise<T> {
    const source = await sourceOf(await this.put(name, content));
    try {
      return await read(source);
    } finally {
      await source.close();
    }
  }
}

function all<T>(items: AsyncGenerator<T>): Promise<T[]> {
  return Readable.from(items).toArray();
}

/** The lines of a report. */
export async function reportIn(path: string): Promise<Record<string, unknown>[]> {
  const lines = (await readFile(path, 'utf8')).split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line));
}
