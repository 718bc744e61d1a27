import { z } from 'zod';
import { COMMAND_SCHEMAS } from './commands.ts';
import * as envelope from './envelope.ts';
import * as record from './record.ts';

/**
 * Has every schema that a module of this room exports live on where modules are frozen, as a worker of Temporal's freezes those that it evaluates
 * once for all workflows. That freeze goes no further where something is frozen already, and zod completes a schema when it is first
 * used: so of a schema only the outermost object is frozen here, once what it defines late is there. Such a schema is used by `z.safeParse`:
 * its own method would be defined late, too.
 */
export function letSchemasLive(): void {
  for (const schema of Object.values({ ...record, ...envelope, ...COMMAND_SCHEMAS }))
    if (schema instanceof z.ZodType) {
      if (schema instanceof z.ZodObject) schema.shape;
      Object.freeze(schema);
    }
}
