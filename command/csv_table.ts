import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { stringify } from 'csv-stringify';

/** A table of comma-separated values that is written while its rows are made. */
export interface CsvTable {
  /** Resolves once there is room for the next row: whoever awaits it makes rows no faster than they are taken. */
  write(row: Readonly<Record<string, unknown>>): Promise<void>;
  /** Resolves when all is written. */
  end(): Promise<void>;
}

/**
 * A table in a file that only its owner may read, for it may have personal values, or on standard output. What a spreadsheet would
 * take for a formula is escaped.
 * @param path `-` is standard output
 */
export function csvTable(path: string, columns: readonly string[]): CsvTable {
  const lines = stringify({ header: true, columns: [...columns], escape_formulas: true });
  const written = pipeline(lines, path === '-' ? standardOutput() : createWriteStream(path, { mode: 0o600 }));
  // Whoever writes or ends meets it; until then a file that cannot be written is no unhandled rejection.
  written.catch(() => {});
  return {
    async write(row) {
      if (!lines.write(row)) await Promise.race([once(lines, 'drain'), written]);
    },
    async end() {
      lines.end();
      await written;
    },
  };
}

/** Others write there too, so it stays open. */
function standardOutput(): Writable {
  return new Writable({
    write(chunk, _encoding, taken) {
      if (process.stdout.write(chunk)) taken();
      else process.stdout.once('drain', () => taken());
    },
  });
}
