import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { stringify } from 'csv-stringify';
import type { Planned } from '../gateway/planned.ts';
import { valueText } from './output.ts';

const COLUMNS = [
  ...['mchid', 'out_insurance_no', 'outlook', 'sync', 'revision', 'observed_at'],
  ...['field', 'fate', 'ours', 'theirs', 'changed_by', 'changed_at', 'found_at'],
];

export interface PlanFile {
  /** A line for each field. */
  write(planned: Planned): void;
  /** Resolves when all is in the file. */
  end(): Promise<void>;
}

/** A file that only its owner may read: it may have personal values. What a spreadsheet would take for a formula is escaped. */
export function planFile(path: string): PlanFile {
  const lines = stringify({ header: true, columns: COLUMNS, escape_formulas: true });
  const file = createWriteStream(path, { mode: 0o600 });
  const written = finished(lines.pipe(file));
  // Awaited at the end; until then a file that cannot be written is no unhandled rejection.
  written.catch(() => {});
  return {
    write({ fields, ...policy }) {
      for (const { changed, ours, theirs, found_at, ...one } of fields)
        lines.write({
          ...policy,
          ...one,
          ...{
            ours: valueText(ours, ''),
            theirs: valueText(theirs, ''),
            found_at: timeOf(found_at),
            observed_at: timeOf(policy.observed_at),
          },
          changed_by: changed ? [changed.command, changed.by].filter(Boolean).join(' by ') : '',
          changed_at: timeOf(changed?.at),
        });
    },
    async end() {
      lines.end();
      await written;
    },
  };
}

function timeOf(at: Date | null | undefined): string {
  return at ? at.toISOString() : '';
}
