import { z } from 'zod';
import { recordSchema } from '../../../policy/record.ts';
import { merchantSettingsSchema } from '../../../wechatpay/merchant_settings.ts';

/** The part of JSON Schema that our schemas use. */
export interface JsonSchema {
  $comment?: string;
  additionalProperties?: boolean | JsonSchema;
  anyOf?: JsonSchema[];
  const?: unknown;
  default?: unknown;
  description?: string;
  enum?: unknown[];
  exclusiveMinimum?: number;
  format?: string;
  items?: JsonSchema;
  maximum?: number;
  maxItems?: number;
  maxLength?: number;
  minimum?: number;
  minItems?: number;
  minLength?: number;
  pattern?: string;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  type?: string;
}

/** What users write, as JSON Schema of draft 7, which every editor knows. */
export function jsonSchemaOf(schema: z.ZodType): JsonSchema {
  const { $schema: _draft, ...json } = z.toJSONSchema(schema, {
    io: 'input',
    target: 'draft-7',
    unrepresentable: 'any',
    override: ({ jsonSchema }) => {
      // Anything more may come with it: `true` says so as `{}` does, and reads better.
      if (isAnything(jsonSchema.additionalProperties)) jsonSchema.additionalProperties = true;
    },
  });
  return json as JsonSchema;
}

function isAnything(schema: unknown): boolean {
  return typeof schema === 'object' && schema !== null && Object.keys(schema).length === 0;
}

const DRAFT = 'http://json-schema.org/draft-07/schema#';
const OWN_SCHEMA = { type: 'string', description: 'Where this schema is, for editors.' };

/** The files of `schemas/`: of what users write, with what the command line takes besides in a file. */
export function schemaFiles(): Record<string, object> {
  const { properties, ...record } = editorsOwn(jsonSchemaOf(recordSchema));
  return {
    'record.schema.json': {
      $schema: DRAFT,
      $id: 'urn:wechatpay-policy-sync:record',
      title: 'A policy, and how it is kept in step with WeChat Pay',
      ...record,
      properties: { $schema: OWN_SCHEMA, ...properties },
    },
    'merchants.schema.json': {
      $schema: DRAFT,
      $id: 'urn:wechatpay-policy-sync:merchants',
      title: 'The file that WECHATPAY_MERCHANTS names: settings of merchants by merchant id',
      type: 'object',
      properties: { $schema: OWN_SCHEMA },
      patternProperties: { '^\\d{8,10}$': editorsOwn(jsonSchemaOf(merchantSettingsSchema)) },
      additionalProperties: false,
    },
  };
}

/** What a comment says of a value is said to people, too. */
function editorsOwn(schema: JsonSchema): JsonSchema {
  return JSON.parse(JSON.stringify(schema), (_name, part) => {
    if (typeof part?.$comment !== 'string') return part;
    const { $comment, description, ...rest } = part as JsonSchema;
    return { description: [description, `(${$comment})`].filter(Boolean).join(' '), ...rest };
  });
}
