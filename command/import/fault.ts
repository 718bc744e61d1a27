/** Why a line of a file is bad, or why its policy could not be opened. */
export interface Fault {
  /** Of docs/reference/errors.md, or of `LINE_RULES`; the name of an error where no rule was broken. */
  rule: string;
  /** One line, without any value of the record. */
  message: string;
}

/** What breaks a line before its record can be looked at, and what to do. */
export const LINE_RULES = {
  json: ['a line that is no JSON', 'write each record on a line of its own'],
  csv: ['a row with a stray quote, or with other cells than the header has', 'quote cells as CSV does'],
  duplicate: ['a policy that a line before has', 'leave the wrong one of the two out'],
} as const satisfies Record<string, readonly [breaks: string, todo: string]>;

type LineRule = keyof typeof LINE_RULES;

export function faultOfLine(rule: LineRule, message: string): Fault {
  return { rule, message };
}

/** What a message says was found where that is a value, not a kind of value. */
const VALUE_FOUND = /, found (?!(?:nothing|text|null|NaN|-?Infinity|an? [\w ]+)(?:[,;]|$)).*$/s;
/** The times that the rules of a policy as a whole name. */
const TIME_NAMED = /\b(\w+_time) \d{4}-\d\d-\d\dT\S+/g;

/**
 * A message without what it quotes of a record. In a file of others' making a name may stand in any column, so that nothing is
 * known to be impersonal.
 */
export function withoutValues(message: string): string {
  return message.replace(VALUE_FOUND, '').replace(TIME_NAMED, '$1');
}
