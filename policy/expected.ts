import type { z } from 'zod';
import { kindOf } from './kind.ts';

type Issue = Parameters<z.core.$ZodErrorMap>[0];

const KINDS: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'an object',
  record: 'an object',
  array: 'a list',
};

/** What a length or a size is counted in. */
const UNITS: Readonly<Record<string, string>> = { string: 'character', array: 'member' };

/**
 * What a schema expected, in the words of this project, where the schema has none of its own. Given to every parse of what
 * comes from outside; what was found is the caller's to say, by `foundKind` where no value may be told.
 */
export const OWN_WORDS = { error: (issue: Issue): string => expectation(issue) };

function expectation(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${KINDS[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return `expected ${issue.values.length > 1 ? 'one of ' : ''}${issue.values.map(String).join(', ')}`;
    case 'too_small':
      return `expected ${issue.inclusive === false ? 'more than' : 'at least'} ${sized(issue, issue.minimum)}`;
    case 'too_big':
      return `expected ${issue.inclusive === false ? 'less than' : 'at most'} ${sized(issue, issue.maximum)}`;
    case 'unrecognized_keys':
      return `there is no such name: ${issue.keys.join(', ')}`;
    case 'invalid_union':
      return nearestOf(issue.errors)[0]?.message ?? 'expected another value';
    case 'invalid_key':
      return issue.issues[0]?.message ?? 'expected another name';
    default:
      return 'expected another value';
  }
}

function sized({ origin }: { origin: string }, limit: number | bigint): string {
  const unit = UNITS[origin];
  return unit === undefined ? `${limit}` : `${limit} ${unit}${Number(limit) === 1 ? '' : 's'}`;
}

/** What an issue is about, of the `input` that was parsed. */
export function valueAt({ path }: z.core.$ZodIssue, input: unknown): unknown {
  return path.reduce<unknown>((at, part) => (at as Record<PropertyKey, unknown> | undefined)?.[part], input);
}

/** `, found …` with the kind of a value that is of a wrong one; otherwise nothing. */
export function foundKind(issue: z.core.$ZodIssue, input: unknown): string {
  return issue.code === 'invalid_type' ? `, found ${kindOf(valueAt(issue, input))}` : '';
}

/** Of a value that may have one of several shapes, the faults by the shape that it is nearest to; the last of several. */
export function nearestOf(shapes: readonly (readonly z.core.$ZodIssue[])[]): readonly z.core.$ZodIssue[] {
  const fewest = Math.min(...shapes.map(({ length }) => length));
  return shapes.findLast(({ length }) => length === fewest) ?? [];
}
