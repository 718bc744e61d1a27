import type { Planned } from '../gateway/planned.ts';
import { type CsvTable, csvTable } from './csv_table.ts';
import { valueText } from './output.ts';

const COLUMNS = [
  ...['mchid', 'out_insurance_no', 'outlook', 'sync', 'revision', 'observed_at'],
  ...['field', 'fate', 'ours', 'theirs', 'changed_by', 'changed_at', 'found_at'],
];

export interface PlanFile {
  /** A line for each field. Resolves once there is room for more. */
  write(planned: Planned): Promise<void>;
  /** Resolves when all is in the file. */
  end: CsvTable['end'];
}

export function planFile(path: string): PlanFile {
  const table = csvTable(path, COLUMNS);
  return {
    end: table.end,
    async write({ fields, ...policy }) {
      for (const { changed, ours, theirs, found_at, ...one } of fields)
        await table.write({
          ...policy,
          ...one,
          ours: valueText(ours, ''),
          theirs: valueText(theirs, ''),
          found_at: timeOf(found_at),
          observed_at: timeOf(policy.observed_at),
          changed_by: changed ? [changed.command, changed.by].filter(Boolean).join(' by ') : '',
          changed_at: timeOf(changed?.at),
        });
    },
  };
}

function timeOf(at: Date | null | undefined): string {
  return at ? at.toISOString() : '';
}
