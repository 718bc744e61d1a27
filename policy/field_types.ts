import { z } from 'zod';
import type { RuleName } from './rules.ts';
import { atMost, type Check, checked, notEmpty, stated, threeByteCharacters, visible } from './text.ts';
import { timeFault, toWireTime } from './time.ts';

// The zod types of fields. Each is made by a function: a schema that a module exports would be frozen in a worker.

const NUMBER = /^[0-9A-Za-z]{1,32}$/;
const MOST_NAMES = 11;
// RSA-2048 OAEP with SHA-1 seals at most 214 bytes (RFC 8017, 7.1.1: k - 2·20 - 2).
const MOST_NAME_BYTES = 214;

const number = stated({ pattern: NUMBER.source }, (value) =>
  NUMBER.test(value) ? undefined : { rule: 'insurance-number', message: 'expected 1 to 32 letters and digits' },
);

const instant = stated({ format: 'date-time' }, (value) => {
  const message = timeFault(value);
  return message === undefined ? undefined : { rule: 'time', message };
});

const nameFits: Check = (value) =>
  new TextEncoder().encode(value).length > MOST_NAME_BYTES
    ? { rule: 'too-long', message: `expected at most ${MOST_NAME_BYTES} bytes in UTF-8` }
    : undefined;

/** The merchant's number of a policy. */
export function insuranceNumber(): z.ZodType<string, string> {
  return checked(number);
}

/** A text that WeChat Pay takes in the clear; one that is empty is no text. */
export function text(most?: number): z.ZodType<string, string> {
  return checked(visible, ...clear(most));
}

/** The same, and not empty. */
export function someText(most?: number): z.ZodType<string, string> {
  return checked(notEmpty, visible, ...clear(most));
}

function clear(most: number | undefined): Check[] {
  return [threeByteCharacters, ...(most === undefined ? [] : [atMost(most)])];
}

/** An id, or a code, that somebody else gave: taken as it is. */
export function givenId(): z.ZodType<string, string> {
  return checked(notEmpty, visible);
}

/** The same, or empty. */
export function givenIdOrNone(): z.ZodType<string, string> {
  return checked(visible);
}

/** Names of people, in the clear. */
export function names() {
  return z
    .array(checked(notEmpty, visible, nameFits))
    .max(MOST_NAMES, { error: `expected at most ${MOST_NAMES} names` });
}

/** An RFC 3339 time with an offset, left as it is spelled. */
export function rfc3339(): z.ZodType<string, string> {
  return checked(instant);
}

/** The same, as WeChat Pay wants it: to the second, in `+08:00`. */
export function time(): z.ZodType<string, string> {
  return rfc3339().transform(toWireTime);
}

/** A whole number of fen. */
export function amount(): z.ZodType<number, number> {
  return z
    .custom<number>((value) => Number.isSafeInteger(value) && (value as number) >= 0, {
      error: 'expected a whole number of fen',
      params: { rule: 'amount' satisfies RuleName },
    })
    .meta({ type: 'integer', minimum: 0 });
}

/** A number, or a text for one of more digits than JSON keeps. */
export function numberOrText() {
  const number = z.number().int({ error: 'expected a whole number; one of 16 digits or more as text' }).nonnegative();
  return z.union([number, someText()]);
}

export function wholeNumbers() {
  return z.array(z.number().int().nonnegative());
}

export function flag() {
  return z.boolean();
}

export function oneOf<const Names extends readonly [string, ...string[]]>(names: Names) {
  return z.enum(names);
}

/** Why something is asked for, in words of whoever asks. */
export function reason(): z.ZodType<string, string> {
  return checked(notEmpty, visible, atMost(500));
}
