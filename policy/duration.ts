import { z } from 'zod';
import type { RuleName } from './rules.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
export const DAY: number = 24 * HOUR;

const DURATION =
  /^(\d+(?:\.\d+)?)\s*(ms|msecs?|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|weeks?)$/i;

const UNITS: Record<string, number> = { s: SECOND, m: MINUTE, h: HOUR, d: DAY, w: 7 * DAY };

/** Milliseconds of a duration string of the Temporal SDK's kind ("60d", "30 days", "15s"); `undefined` for others. */
export function durationOf(text: string): number | undefined {
  const parts = DURATION.exec(text.trim());
  if (!parts) return undefined;
  const unit = (parts[2] ?? '').toLowerCase();
  const factor = unit.startsWith('ms') || unit.startsWith('milli') ? 1 : UNITS[unit.charAt(0)];
  return factor === undefined ? undefined : Math.round(Number(parts[1]) * factor);
}

/** Milliseconds of a duration that a schema has passed. */
export function ms(duration: string): number {
  const value = durationOf(duration);
  if (value === undefined) throw new TypeError(`not a duration: ${duration}`);
  return value;
}

/** A duration between two others, both inclusive. */
export function durationSchema(least: string, most: string): z.ZodType<string, string> {
  const schema = z.string().superRefine((text, context) => {
    const value = durationOf(text);
    const fault =
      value === undefined
        ? `expected a duration such as "60d", "30 days" or "15s", found ${JSON.stringify(text.slice(0, 40))}`
        : value < ms(least) || value > ms(most)
          ? `expected a duration from ${least} to ${most}, found ${JSON.stringify(text)}`
          : undefined;
    if (fault) context.addIssue({ code: 'custom', params: { rule: 'duration' satisfies RuleName }, message: fault });
  });
  return schema.meta({
    pattern: '^\\s*\\d+(\\.\\d+)?\\s*[A-Za-z]+\\s*$',
    $comment: `a duration from ${least} to ${most}`,
  });
}
