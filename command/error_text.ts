/** Anything thrown, in one line, without its stack. */
export function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message || error.name : String(error);
  const line = message.replace(/\s*\n\s*/g, ' | ').trim();
  return error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'
    ? `${line}: choose another port`
    : line;
}

/** An error as `--json` shows it: its class, its message, and what a program may branch on. */
export function described(error: unknown): Record<string, unknown> {
  const { name, rule, violations, ending, reason } = (error ?? {}) as Record<string, unknown>;
  return { name: name ?? 'Error', message: messageOf(error), rule, violations, ending, reason };
}
