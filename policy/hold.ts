import type { Rule } from './command_rule.ts';
import { envelope } from './envelope.ts';
import { reason } from './field_types.ts';
import { only } from './record.ts';

export const holdSchema = only({ ...envelope(), reason: reason() });

export const unholdSchema = only({ ...envelope() });

/** From now on messages are taken, nothing is sent, and due times wait. */
export const hold: Rule<typeof holdSchema> = (life, _message, now) =>
  life.hold ? life : { ...life, hold: { since: now } };

/** What came due meanwhile is applied at once, each at the time at which it was due. */
export const unhold: Rule<typeof unholdSchema> = (life) => {
  const { hold, ...rest } = life;
  return hold ? rest : life;
};
