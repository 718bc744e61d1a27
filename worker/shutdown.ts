const SIGNALS = ['SIGTERM', 'SIGINT'] as const;
/** Ctrl-C under npm, or a service manager that signals the whole group, brings one wish to end twice. */
const SAME_WISH_MS = 1000;

/**
 * Aborted by the first SIGTERM or SIGINT, of which `tell` is told. Another, a second or more later, ends the process at
 * once, calls under way or not: whatever they did is asked of WeChat Pay by the worker that comes next.
 */
export function shutdownAsked(tell: (signal: string) => void): AbortSignal {
  const asked = new AbortController();
  let first = 0;
  const end = (signal: string): void => {
    if (asked.signal.aborted) {
      if (performance.now() - first >= SAME_WISH_MS) process.exit(1);
      return;
    }
    first = performance.now();
    tell(signal);
    asked.abort();
  };
  for (const signal of SIGNALS) process.on(signal, end);
  return asked.signal;
}
