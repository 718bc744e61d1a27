import { z } from 'zod';
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

export const observeSchema = only({ ...envelope(), on: z.boolean() });

/** Observed, a policy is watched and compared, and never written: the way to begin with one that another system still writes. */
export const observe: Rule<typeof observeSchema> = (life, { on }) => {
  if (on === (life.observed === true)) return life;
  const { observed: _until_now, ...rest } = life;
  return on ? { ...rest, observed: true } : rest;
};
