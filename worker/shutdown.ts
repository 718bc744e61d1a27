const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

/**
 * Aborted by the first SIGTERM or SIGINT, of which `tell` is told. A second one ends the process at once, calls under
 * way or not: whatever they did is asked of WeChat Pay by the worker that comes next.
 */
export function shutdownAsked(tell: (signal: string) => void): AbortSignal {
  const asked = new AbortController();
  const end = (signal: string): void => {
    if (asked.signal.aborted) process.exit(1);
    tell(signal);
    asked.abort();
  };
  for (const signal of SIGNALS) process.on(signal, end);
  return asked.signal;
}
