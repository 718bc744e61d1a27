import { policyFieldsSchema } from '../policy/record.ts';
import { jsonOf, textOf } from './input.ts';
import { UsageError } from './usage.ts';

/** Fields of an amendment, from `field=value` words and a JSON file. */
export async function amendmentOf(words: string[], jsonFile: string | undefined): Promise<Record<string, unknown>> {
  const given = jsonFile === undefined ? {} : jsonOf(jsonFile, await textOf(jsonFile));
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new UsageError(`${jsonFile}: expected a JSON object of fields`);
  const fields = { ...given, ...Object.fromEntries(words.map(fieldOf)) };
  if (Object.keys(fields).length === 0) throw new UsageError('amend: give field=value, or --json-file');
  return fields;
}

function fieldOf(word: string): [string, unknown] {
  const [, field, text] = /^(\w+)=(.*)$/s.exec(word) ?? [];
  // The word is not quoted: whatever it is may be about a person.
  if (field === undefined || text === undefined)
    throw new UsageError('amend: expected field=value, the field by its bare name');
  return [field, meantBy(field, text)];
}

const SHAPE = policyFieldsSchema.shape as Record<string, { safeParse(value: unknown): { success: boolean } }>;

/**
 * The text itself, unless the field takes what the text means as JSON: 12535 is a plan_id, but no policy_code. `null` takes
 * any field back; the text `null` goes by --json-file.
 */
function meantBy(field: string, text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return text;
  }
  if (value === null) return null;
  const schema = Object.hasOwn(SHAPE, field) ? SHAPE[field] : undefined;
  return !schema || schema.safeParse(value).success ? value : text;
}
