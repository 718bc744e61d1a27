/** A copy of plain JSON, for the sandbox of workflows has no `structuredClone`. */
export function plainCopy<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}
