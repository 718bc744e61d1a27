import { recordSchema } from '../../../policy/record.ts';
import { fieldTable } from './fields.ts';
import { type JsonSchema, jsonSchemaOf } from './json_schemas.ts';

function part(name?: string): JsonSchema {
  const record = jsonSchemaOf(recordSchema);
  return name === undefined ? record : (record.properties?.[name] ?? {});
}

export const record = (): string => fieldTable(part());

/** The blocks of the parts of a record. */
export const recordBlocks: Record<string, () => string> = Object.fromEntries(
  ['policy', 'upload', 'renewal', 'verification'].map((name) => [name, () => fieldTable(part(name))]),
);
