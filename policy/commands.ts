import type { z } from 'zod';
import { amend, amendSchema } from './amendment.ts';
import { cancel, cancelSchema, reinstate, reinstateSchema, withdraw, withdrawSchema } from './cancellation.ts';
import type { MayHold, Rule } from './command_rule.ts';
import { isOfEnvelope } from './envelope.ts';
import { hold, holdSchema, observe, observeSchema, unhold, unholdSchema } from './hold.ts';
import { approve, approveSchema, decline, declineSchema } from './issuing.ts';
import type { Life } from './life.ts';
import { withoutNulls } from './record.ts';
import { renew, renewSchema } from './renewal.ts';
import { parse } from './violation.ts';

export { bareSchema, type Envelope, openSchema } from './envelope.ts';

/** Every message that changes what is desired of a policy: its schema, and its rule. */
const COMMANDS = {
  approve: { schema: approveSchema, rule: approve },
  decline: { schema: declineSchema, rule: decline },
  cancel: { schema: cancelSchema, rule: cancel },
  withdraw: { schema: withdrawSchema, rule: withdraw },
  amend: { schema: amendSchema, rule: amend },
  renew: { schema: renewSchema, rule: renew },
  reinstate: { schema: reinstateSchema, rule: reinstate },
  hold: { schema: holdSchema, rule: hold },
  unhold: { schema: unholdSchema, rule: unhold },
  observe: { schema: observeSchema, rule: observe },
} as const;

type Schemas = { readonly [Name in CommandName]: (typeof COMMANDS)[Name]['schema'] };
export type CommandName = keyof typeof COMMANDS;
export type CommandInput<Name extends CommandName> = z.input<Schemas[Name]>;
type Parsed<Name extends CommandName> = z.output<Schemas[Name]>;

export const COMMAND_SCHEMAS = Object.fromEntries(
  Object.entries(COMMANDS).map(([name, { schema }]) => [name, schema]),
) as Schemas;

/**
 * A message, checked. What is `null` is absent, but in the fields of an amendment, where it takes back.
 * @throws {RuleViolation}
 */
export function parsedCommand<Name extends CommandName>(name: Name, input: unknown): Parsed<Name> {
  const given = withoutNulls(input ?? {}, name === 'amend' ? 1 : 2);
  const nulls = name === 'amend' ? nullFields(input) : {};
  return parse(COMMAND_SCHEMAS[name], isObject(given) ? { ...given, ...nulls } : given) as Parsed<Name>;
}

function nullFields(input: unknown): object {
  const entries = isObject(input) ? Object.entries(input) : [];
  return Object.fromEntries(entries.filter(([name, value]) => value === null && !isOfEnvelope(name)));
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The life after a command. Returns the very same object where everything is already so. Times are ms since the epoch.
 * @param there whether WeChat Pay holds a value of a field, or may: what it does not hold can be taken back
 * @throws {RuleViolation} when the command is malformed or illegal now; `rule` names why.
 */
export function obey<Name extends CommandName>(
  life: Life,
  name: Name,
  input: unknown,
  now: number,
  there: MayHold = () => true,
): Life {
  const rule = COMMANDS[name].rule as Rule<Schemas[Name]>;
  return rule(life, parsedCommand(name, input), now, there);
}
