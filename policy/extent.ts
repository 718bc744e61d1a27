/** Far above what any record, message or answer needs, far below what a recursive reader can follow. */
export const DEEPEST = 32;

/** Whether a value as JSON has it holds lists and objects within each other, more than `DEEPEST` of them. */
export function nestsTooDeep(value: unknown, left: number = DEEPEST): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return left === 0 || Object.values(value).some((part) => nestsTooDeep(part, left - 1));
}

/** More than a record of the most characters can hold: to look at many more takes longer than a workflow task may. */
export const MOST_VALUES = 20_000;

/** Whether a value, nested no deeper than `DEEPEST`, holds more than `MOST_VALUES` values in all. */
export function holdsTooMany(value: unknown): boolean {
  let left = MOST_VALUES;
  const count = (part: unknown): boolean => {
    left -= 1;
    if (left < 0) return true;
    return typeof part === 'object' && part !== null && Object.values(part).some(count);
  };
  return count(value);
}
