import { z } from 'zod';
import { only } from './record.ts';
import { atMost, checked, notEmpty } from './text.ts';
import { described, ENVELOPE_WORDS } from './words.ts';

export interface Envelope {
  event_id?: string;
  version?: number;
  by?: string;
}

/** The fields that every message may carry. */
export function envelope() {
  return described(
    {
      event_id: checked(notEmpty, atMost(200)).optional(),
      version: z.number().int().nonnegative().optional(),
      by: checked(atMost(200)).optional(),
    },
    ENVELOPE_WORDS,
  );
}

/** Messages that change nothing in the record of themselves: `verify`, `accept`, `resume`. */
export const bareSchema = only(envelope());
/** What comes with the start of a policy: the record itself is the workflow's argument. */
export const openSchema = only({ ...envelope(), digest: checked(notEmpty, atMost(200)) });

export function isOfEnvelope(field: string): boolean {
  return Object.hasOwn(ENVELOPE_WORDS, field);
}

/** A message without its envelope. */
export function withoutEnvelope<Message extends Envelope>(
  message: Message,
): { [Field in keyof Message as Exclude<Field, keyof Envelope>]: Message[Field] } {
  const own = Object.entries(message).filter(([field]) => !isOfEnvelope(field));
  return Object.fromEntries(own) as ReturnType<typeof withoutEnvelope<Message>>;
}
