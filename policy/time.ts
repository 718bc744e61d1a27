// A real calendar date is checked apart from the shape: Date.parse rolls 02-30 over to March.
const RFC3339 = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.\d+)?(Z|[+-]\d{2}:\d{2})$/;

const CHINA_OFFSET_MS = 8 * 60 * 60 * 1000;

/** Milliseconds since the epoch of an RFC 3339 time with an offset, one that `wireTime` can write; `undefined` for others. */
export function instantOf(time: unknown): number | undefined {
  if (typeof time !== 'string') return undefined;
  const parts = RFC3339.exec(time);
  if (!parts) return undefined;
  const [, year, month, day, hour, minute, second] = parts.map(Number) as number[];
  const daysInMonth = new Date(Date.UTC(year ?? 0, month ?? 0, 0)).getUTCDate();
  if (!month || month > 12 || !day || day > daysInMonth) return undefined;
  if ((hour ?? 0) > 23 || (minute ?? 0) > 59 || (second ?? 0) > 59) return undefined;
  const instant = Date.parse(time);
  // Of the last hours of the year 9999 some lie in a year of five digits in China.
  const yearInChina = new Date(instant + CHINA_OFFSET_MS).getUTCFullYear();
  return yearInChina >= 0 && yearInChina <= 9999 ? instant : undefined;
}

/** As WeChat Pay wants times: RFC 3339 to the second, in `+08:00`, 25 characters. Fractions of a second are cut. */
export function wireTime(instant: number): string {
  return `${new Date(instant + CHINA_OFFSET_MS).toISOString().slice(0, 19)}+08:00`;
}

/** The same, from any RFC 3339 time; anything else is passed through, for the schema to refuse. */
export function toWireTime(time: string): string {
  const instant = instantOf(time);
  return instant === undefined ? time : wireTime(instant);
}
