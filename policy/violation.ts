import type { z } from 'zod';

/** One broken rule of a record or a command. `message` is one line for people; it never holds a personal value. */
export interface Violation {
  /** Path of the field, `policy.expired_time`; empty when the rule is about the whole. */
  field: string;
  /** Name of the rule, kebab-case; stable, callers branch on it. */
  rule: string;
  message: string;
}

/** Thrown where a record or a command breaks the rules. `rule` is that of the first violation. */
export class RuleViolation extends Error {
  override readonly name = 'RuleViolation';
  readonly rule: string;
  readonly violations: readonly Violation[];

  constructor(violations: readonly [Violation, ...Violation[]]) {
    super(violations.map((violation) => violation.message).join('; '));
    this.rule = violations[0].rule;
    this.violations = violations;
  }
}

/** Refuses with a single rule; for conditions that no schema can state. */
export function refuse(rule: string, message: string, field = ''): never {
  throw new RuleViolation([{ field, rule, message }]);
}

const ZOD_RULES: Record<string, string> = {
  invalid_type: 'type',
  invalid_value: 'enum',
  unrecognized_keys: 'unknown-field',
  too_small: 'too-short',
  too_big: 'too-long',
  invalid_union: 'type',
};

/**
 * Violations of a failed parse. A schema of ours names its rule in `params.rule`; zod's own checks are named after
 * what they check. zod's messages name the expected shape and never the value, so they are safe to show.
 */
export function violationsOf(error: z.ZodError): [Violation, ...Violation[]] {
  const found = error.issues.map((issue): Violation => {
    const field = issue.path.map(String).join('.');
    const own = issue.code === 'custom' ? (issue.params?.rule as string | undefined) : undefined;
    return {
      field,
      rule: own ?? ZOD_RULES[issue.code] ?? issue.code,
      message: `${field || 'record'}: ${issue.message}`,
    };
  });
  const [first, ...rest] = found;
  return [first ?? { field: '', rule: 'invalid', message: 'the input is not valid' }, ...rest];
}

/** Parses or throws `RuleViolation`. */
export function parse<S extends z.ZodType>(schema: S, input: unknown): z.output<S> {
  const result = schema.safeParse(input);
  if (!result.success) throw new RuleViolation(violationsOf(result.error));
  return result.data;
}
