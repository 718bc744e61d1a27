import { z } from 'zod';
import { foundKind, nearestOf, OWN_WORDS, valueAt } from './expected.ts';
import { DEEPEST, holdsTooMany, MOST_VALUES, nestsTooDeep } from './extent.ts';
import { isPersonal } from './fields.ts';
import type { RuleName } from './rules.ts';

/** One broken rule of a record or a command. `message` is one line for people; it never holds a personal value. */
export interface Violation {
  /** Path of the field, `policy.expired_time`; empty when the rule is about the whole. */
  field: string;
  /** Name of the rule, kebab-case; stable, callers branch on it. */
  rule: string;
  message: string;
}

// A list of a hundred thousand wrong values is told of like any other: in a line that fits a log, a failure, a screen.
const MOST_KEPT = 100;
const MOST_TOLD = 10;
const LONGEST = 300;

/** Thrown where a record or a command breaks the rules. `rule` is that of the first violation. */
export class RuleViolation extends Error {
  override readonly name = 'RuleViolation';
  readonly rule: string;
  readonly violations: readonly Violation[];

  constructor(violations: readonly [Violation, ...Violation[]]) {
    const told = violations.slice(0, MOST_TOLD).map(({ message }) => message);
    const left = violations.length - told.length;
    super([...told, ...(left > 0 ? [`${left} more`] : [])].join('; '));
    this.rule = violations[0].rule;
    this.violations = violations;
  }
}

/** Refuses with a single rule; for conditions that no schema can state. */
export function refuse(rule: RuleName, message: string, field = ''): never {
  throw new RuleViolation([{ field: oneLine(field), rule, message: oneLine(message) }]);
}

const ZOD_RULES: Record<string, RuleName> = {
  invalid_type: 'type',
  invalid_value: 'enum',
  unrecognized_keys: 'unknown-field',
  too_small: 'too-short',
  too_big: 'too-long',
  invalid_union: 'type',
  invalid_format: 'format',
};

/**
 * Violations of a failed parse of `input`. A schema of ours names its rule in `params.rule`; zod's own checks are named
 * after what they check. Messages say what was expected and, where the field is not personal, what was found.
 */
export function violationsOf(error: z.ZodError, input: unknown): [Violation, ...Violation[]] {
  const found = error.issues
    .slice(0, MOST_KEPT)
    .flatMap(branch)
    .map((issue): Violation => {
      const field = oneLine(issue.path.map(String).join('.'));
      const own = issue.code === 'custom' ? (issue.params?.rule as RuleName | undefined) : undefined;
      return {
        field,
        rule: own ?? ZOD_RULES[issue.code] ?? 'invalid',
        message: oneLine(`${field || 'record'}: ${issue.message}${foundAt(issue, input)}`),
      };
    });
  const [first, ...rest] = found;
  return [first ?? { field: '', rule: 'invalid', message: 'the input is not valid' }, ...rest];
}

/**
 * Of a value that may have one of several shapes the faults by the shape that it is nearest to, the last of several: that
 * it has none of them would help nobody.
 */
function branch(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return [issue];
  return nearestOf(issue.errors)
    .map((one) => ({ ...one, path: [...issue.path, ...one.path] }))
    .flatMap(branch);
}

const LONGEST_FOUND = 80;

/** `, found …`: a single value of a field that is known to be impersonal, the kind of what has a wrong one; otherwise nothing. */
function foundAt(issue: z.core.$ZodIssue, input: unknown): string {
  if (issue.message.includes(', found ')) return '';
  const field = issue.path.findLast((part) => typeof part === 'string');
  const value = valueAt(issue, input);
  const single = value !== undefined && (typeof value !== 'object' || value === null);
  if (field === undefined || isPersonal(field) || !single) return foundKind(issue, input);
  return `, found ${JSON.stringify(typeof value === 'string' ? value.slice(0, LONGEST_FOUND) : value)}`;
}

/** The names of members are the sender's, and so is what a message says was found: shown without line ends, cut. */
function oneLine(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]+/gu, ' ');
  return line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line;
}

/** Parses or throws `RuleViolation`. What nests so deep, or holds so much, that nobody could read it in time is refused before. */
export function parse<S extends z.ZodType>(schema: S, input: unknown): z.output<S> {
  if (nestsTooDeep(input)) refuse('too-deep', `record: expected JSON that nests at most ${DEEPEST} deep`);
  if (holdsTooMany(input)) refuse('too-large', `record: expected at most ${MOST_VALUES} values`);
  const result = z.safeParse(schema, input, OWN_WORDS);
  if (!result.success) throw new RuleViolation(violationsOf(result.error, input));
  return result.data;
}
