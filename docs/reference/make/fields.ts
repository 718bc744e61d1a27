import type { JsonSchema } from './json_schemas.ts';
import { code, table } from './markdown.ts';

/** A table of the fields of an object: value, default, what it is. `word` gives what the schema itself does not say. */
export function fieldTable(schema: JsonSchema, word?: (field: string) => string | undefined): string {
  const { properties = {}, required = [] } = schema;
  const rows = Object.entries(properties).map(([field, of]) => {
    const says = of.description ?? word?.(field);
    if (!says) throw new Error(`no words for the field ${field}: add them beside its schema`);
    return [code(field), wordsOf(of), required.includes(field) ? '**required**' : defaultOf(of), says];
  });
  return table(['field', 'value', 'default', ''], rows);
}

function defaultOf({ default: value }: JsonSchema): string {
  return value === undefined || isObject(value) ? '' : code(JSON.stringify(value));
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What a field takes, in words. */
function wordsOf(schema: JsonSchema): string {
  const { $comment, anyOf, enum: choices, format, items, type } = schema;
  if (choices) return choices.map((choice) => code(String(choice))).join(', ');
  if (anyOf) return anyOf.map(wordsOf).join(', or ');
  if ($comment) return $comment;
  if (format === 'date-time') return 'time, RFC 3339 with an offset';
  switch (type) {
    case 'array':
      return `list of ${items?.type === 'object' ? 'objects' : `${wordsOf(items ?? {})}`}${atMost(schema.maxItems)}`;
    case 'boolean':
      return '`true`, `false`';
    case 'integer':
      return `whole number${schema.minimum === 0 ? ' from 0' : ''}`;
    case 'number':
      return schema.exclusiveMinimum === 0 ? 'number above 0' : 'number';
    case 'object':
      return Object.keys(schema.properties ?? {}).length > 0 ? 'object, see below' : 'object';
    case 'string':
      return textOf(schema);
    default:
      throw new Error(`no words for a value like ${JSON.stringify(schema)}`);
  }
}

function textOf({ minLength = 0, maxLength, pattern }: JsonSchema): string {
  if (pattern && !BROAD.has(pattern)) return `text like ${code(pattern)}`;
  if (minLength > 0 && maxLength !== undefined) return `text, ${minLength} to ${maxLength} characters`;
  return `text${minLength > 0 ? ', not empty' : ''}${atMost(maxLength, ' characters')}`;
}

/** Patterns whose rule the page says once for all fields. */
const BROAD: ReadonlySet<string> = new Set(['^[\\u0000-\\uFFFF]*$']);

function atMost(most: number | undefined, what = ''): string {
  return most === undefined ? '' : `, at most ${most}${what}`;
}
