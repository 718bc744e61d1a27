/** `Retry-After` of an answer, seconds or a date (RFC 9110), in ms from `now` on: of a time gone by less than 0. Undefined where it is neither. */
export function retryAfterOf(headers: Headers, now: number): number | undefined {
  const value = headers.get('retry-after')?.trim() ?? '';
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : / GMT$/.test(value) ? Date.parse(value) - now : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms;
}
