import { isRecord } from '../../policy/kind.ts';
import { parsedRecord, type RecordInput } from '../../policy/record.ts';
import { RuleViolation } from '../../policy/violation.ts';
import { type Fault, faultOfLine, withoutValues } from './fault.ts';
import type { Given } from './records.ts';

/** Which policy a line is about, as far as it says so. */
export interface About {
  mchid: string | null;
  out_insurance_no: string | null;
}

/** A line that was checked; it is good where it has no fault. */
export interface Checked extends About {
  line: number;
  faults: Fault[];
}

/** So many faults of a line are told. */
const MOST_TOLD = 10;

/** Holds each record to the rules, and no number to be there twice. It remembers the numbers, and nothing else of the records. */
export async function* checkedOf(given: AsyncIterable<Given>): AsyncGenerator<Checked> {
  const lineOf = new Map<string, number>();
  for await (const one of given) {
    const { line } = one;
    const about = 'record' in one ? aboutOf(one.record) : NOBODY;
    const faults = 'record' in one ? faultsOf(one.record) : [one.fault];
    const { mchid, out_insurance_no } = about;
    const before = lineOf.get(`${mchid}/${out_insurance_no}`);
    if (before !== undefined) faults.unshift(faultOfLine('duplicate', `line ${before} has the same policy`));
    else if (mchid !== null && out_insurance_no !== null) lineOf.set(`${mchid}/${out_insurance_no}`, line);
    yield { line, ...about, faults: faults.slice(0, MOST_TOLD) };
  }
}

const NOBODY: About = { mchid: null, out_insurance_no: null };

/** Not what stands there in place of an id: it may be anything. */
export function aboutOf(record: RecordInput): About {
  if (!isRecord(record)) return NOBODY;
  const { mchid, policy } = record as Partial<Record<'mchid' | 'policy', unknown>>;
  const { out_insurance_no } = (isRecord(policy) ? policy : {}) as Record<string, unknown>;
  return { mchid: ifLike(/^\d{8,10}$/, mchid), out_insurance_no: ifLike(/^[0-9A-Za-z]{1,32}$/, out_insurance_no) };
}

function ifLike(pattern: RegExp, value: unknown): string | null {
  return typeof value === 'string' && pattern.test(value) ? value : null;
}

function faultsOf(record: RecordInput): Fault[] {
  try {
    parsedRecord(record);
    return [];
  } catch (error) {
    if (!(error instanceof RuleViolation)) throw error;
    return error.violations.map(({ rule, message }) => ({ rule, message: withoutValues(message) }));
  }
}
