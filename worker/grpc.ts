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

/** The native SDK tells of a connection that it could not make as Rust writes its errors. */
const TRANSPORT = /\btonic::transport::/;
const WHY: readonly (readonly [told: RegExp, why: string])[] = [
  [/ConnectionRefused/, 'the connection was refused'],
  [/dns error/, 'there is no host of that name'],
  [/certificate|handshake|tls|corrupt message/i, 'TLS fails: look at TEMPORAL_TLS_*'],
  [/timed ?out|deadline/i, 'no answer in time'],
];

/** An error's own words, in one line. */
export function reasonOf(error: unknown): string {
  const { details, message } = error as { details?: unknown; message?: unknown };
  if (TRANSPORT.test(String(message)))
    return WHY.find(([told]) => told.test(String(message)))?.[1] ?? 'no connection can be made';
  return String(typeof details === 'string' ? details : message)
    .replace(/\s+/g, ' ')
    .slice(0, 200);
}
