/** A server could not be found, built or started. The message is one line for the user and says what to do about it. */
export class EmbeddedServerError extends Error {
  override name = 'EmbeddedServerError';
}

/** The message of anything thrown, in one line. */
export function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/\s*\n\s*/g, ' | ').trim();
}
