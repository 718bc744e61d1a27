// A real calendar date is checked apart from the shape: Date.parse rolls 02-30 over to March.
const RFC3339 = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.\d+)?(Z|[+-](\d{2}):(\d{2}))$/;
/** What others write for RFC 3339: a blank or a small `t` between date and time, an offset without its colon. */
const NEARLY = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2}(?:\.\d+)?)(?:([Zz])|([+-]\d{2}):?(\d{2}))$/;

const CHINA_OFFSET_MS = 8 * 60 * 60 * 1000;
/** The first and the last second that RFC 3339 can write in China, in ms since the epoch. */
const FIRST = Date.parse('0001-01-01T00:00:00+08:00');
const LAST = Date.parse('9999-12-31T23:59:59+08:00');

const MONTHS = 'January February March April May June July August September October November December'.split(' ');

/** Milliseconds since the epoch of an RFC 3339 time with an offset, one that `wireTime` can write; `undefined` for others. */
export function instantOf(time: unknown): number | undefined {
  return typeof time === 'string' && timeFault(time) === undefined ? Date.parse(time) : undefined;
}

/** The same, also of the spellings that others have for RFC 3339: what WeChat Pay answers is taken for what it means. */
export function instantMeant(time: unknown): number | undefined {
  if (typeof time !== 'string') return undefined;
  const [, date, clock, zulu, hours, minutes] = NEARLY.exec(time) ?? [];
  return date === undefined ? undefined : instantOf(`${date}T${clock}${zulu ? 'Z' : `${hours}:${minutes}`}`);
}

/** Why a text is no RFC 3339 time that we take, in words; `undefined` for one that is. */
export function timeFault(time: string): string | undefined {
  const parts = RFC3339.exec(time);
  if (!parts) return 'expected an RFC 3339 time with an offset, such as 2025-09-21T17:11:12+08:00';
  const [, year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts.map(Number);
  const [offsetHour, offsetMinute] = [Number(parts[8] ?? 0), Number(parts[9] ?? 0)];
  const days = new Date(Date.UTC(2000 + (year % 400), month, 0)).getUTCDate();
  if (month < 1 || month > 12) return `expected a month from 01 to 12, has ${parts[2]}`;
  if (day < 1 || day > days) return `expected a day that ${MONTHS[month - 1]} ${parts[1]} has, 01 to ${days}`;
  if (hour === 24) return 'expected hours from 00 to 23: midnight is 00:00:00 of the next day';
  if (hour > 23) return `expected hours from 00 to 23, has ${parts[4]}`;
  if (minute > 59) return `expected minutes from 00 to 59, has ${parts[5]}`;
  if (second > 59) return `expected seconds from 00 to 59, has ${parts[6]}: leap seconds are not taken`;
  if (offsetHour > 23 || offsetMinute > 59) return `expected an offset from -23:59 to +23:59, has ${parts[7]}`;
  const instant = Date.parse(time);
  // Of the last hours of the year 9999 some lie in a year of five digits in China.
  if (instant < FIRST || instant >= LAST + 1000) return 'expected a time in the years 0001 to 9999 in China';
  return undefined;
}

/** An instant that RFC 3339 can write: what is computed beyond its years becomes their first or last second. */
export function withinYears(instant: number): number {
  return Math.min(Math.max(instant, FIRST), LAST);
}

/**
 * As WeChat Pay wants times, and as people read them: RFC 3339 to the second, in `+08:00`, 25 characters. Fractions of a
 * second are cut.
 */
export function wireTime(instant: number): string {
  return `${new Date(withinYears(instant) + CHINA_OFFSET_MS).toISOString().slice(0, 19)}+08:00`;
}

/** A time as people in China read it: to the second, in `+08:00`. */
export function timeForPeople(at: Date | string): string {
  return at instanceof Date ? wireTime(at.getTime()) : toWireTime(at);
}

/** `wireTime` of any spelling of an RFC 3339 time; anything else is passed through, for the schema to refuse. */
export function toWireTime(time: string): string {
  const instant = instantMeant(time);
  return instant === undefined ? time : wireTime(instant);
}
