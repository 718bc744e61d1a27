/** gRPC's status codes that matter here (grpc/statuscodes.md); the SDK re-exports none of them. */
export const GRPC = { NOT_FOUND: 5, PERMISSION_DENIED: 7, UNIMPLEMENTED: 12, UNAVAILABLE: 14, UNAUTHENTICATED: 16 };

/** The status code of an error that a Temporal server answered with. */
export function codeOf(error: unknown): number | undefined {
  const { code } = error as { code?: unknown };
  return typeof code === 'number' ? code : undefined;
}

/** Whether asking again would be refused again: no permission, or a server that does not offer it. */
export function isRefusal(error: unknown): boolean {
  const { PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED } = GRPC;
  return [PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED].includes(codeOf(error) ?? -1);
}

/** An error's own words, in one line. */
export function reasonOf(error: unknown): string {
  const { details, message } = error as { details?: unknown; message?: unknown };
  return String(typeof details === 'string' ? details : message)
    .replace(/\s+/g, ' ')
    .slice(0, 200);
}
