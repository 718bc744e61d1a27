import ora from 'ora';
import { note } from './output.ts';
import { Pace } from './pace.ts';

/** So often a line is written where there is no terminal. */
const LINE_MS = 10_000;
const DRAWN_MS = 200;
const CELLS = 20;

/** How far work has come, on standard error: a bar on a terminal, else a line now and then. */
export interface Progress {
  count(): void;
  /** A line beside it. */
  note(text: string): void;
  stop(): void;
}

/** @param total undefined where it is not known yet */
export function startProgress(what: string, total?: number): Progress {
  const pace = new Pace(total);
  if (!process.stderr.isTTY) {
    const timer = setInterval(() => note(`${what}: ${pace.text()}`), LINE_MS).unref();
    return { count: () => pace.count(), note, stop: () => clearInterval(timer) };
  }
  const drawn = (): string => `${what} ${total === undefined ? '' : `${bar(pace.share)} `}${pace.text()}`;
  const spinner = ora({ text: drawn(), stream: process.stderr, discardStdin: false }).start();
  const timer = setInterval(() => {
    spinner.text = drawn();
  }, DRAWN_MS).unref();
  return {
    count: () => pace.count(),
    note: (text) => {
      spinner.clear();
      note(text);
      spinner.render();
    },
    stop: () => {
      clearInterval(timer);
      spinner.stop();
    },
  };
}

function bar(share: number): string {
  const full = Math.floor(share * CELLS);
  return `${'█'.repeat(full)}${'░'.repeat(CELLS - full)}`;
}
