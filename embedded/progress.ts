import ora, { type Ora } from 'ora';
import type { Log } from './log.ts';

const underWay = new Map<string, number>();
let spinner: Ora | undefined;

/**
 * Shows that something long is going on, with the time it has taken: a spinner in a terminal (one for all that goes on
 * at the same time), else a line to `log` every 10 s.
 * @returns what `work` returns
 */
export async function withProgress<T>(what: string, log: Log, work: () => Promise<T>): Promise<T> {
  const began = Date.now();
  underWay.set(what, began);
  // A terminal that says it is 0 wide, as some containers', would have the spinner clear lines for ever.
  const terminal = process.stderr.isTTY && process.stderr.columns > 0;
  if (!terminal) log(`${what} …`);
  const tick = setInterval(() => (terminal ? spin() : log(`${what} … ${elapsed(began)}`)), terminal ? 200 : 10_000);
  try {
    return await work();
  } finally {
    clearInterval(tick);
    underWay.delete(what);
    if (terminal) spin();
  }
}

function spin(): void {
  if (underWay.size === 0) {
    spinner?.stop();
    spinner = undefined;
    return;
  }
  // Standard input stays with the program, so that Ctrl-C reaches it as always.
  spinner ??= ora({ stream: process.stderr, discardStdin: false }).start();
  spinner.text = [...underWay].map(([what, began]) => `${what} ${elapsed(began)}`).join(' · ');
}

function elapsed(began: number): string {
  const seconds = Math.round((Date.now() - began) / 1_000);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
