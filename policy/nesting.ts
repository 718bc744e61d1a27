/** Far above what any record, message or answer needs, far below what a recursive reader can follow. */
export const DEEPEST = 32;

/** Whether a value as JSON has it holds lists and objects within each other, more than `DEEPEST` of them. */
export function nestsTooDeep(value: unknown, left: number = DEEPEST): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return left === 0 || Object.values(value).some((part) => nestsTooDeep(part, left - 1));
}
