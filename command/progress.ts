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
  /** A line of standard error beside it. */
  note(text: string): void;
  /** What a command says on standard output meanwhile. */
  say(text: string): void;
  stop(): void;
}

/**
 * @param total undefined where it is not known yet
 * @param csv where a table is written meanwhile; on a terminal it would run into the bar
 */
export function startProgress(what: string, total?: number, csv?: string): Progress {
  const pace = new Pace(total);
  if (!process.stderr.isTTY || csv === '-') {
    const timer = setInterval(() => note(`${what}: ${pace.text()}`), LINE_MS).unref();
    return { count: () => pace.count(), note, say, stop: () => clearInterval(timer) };
  }
  const drawn = (): string => `${what} ${total === undefined ? '' : `${bar(pace.share)} `}${pace.text()}`;
  const spinner = ora({ text: drawn(), stream: process.stderr, discardStdin: false }).start();
  const timer = setInterval(() => {
    spinner.text = drawn();
  }, DRAWN_MS).unref();
  const beside = (write: (text: string) => void) => (text: string) => {
    spinner.clear();
    write(text);
    spinner.render();
  };
  return {
    count: () => pace.count(),
    note: beside(note),
    say: beside(say),
    stop: () => {
      clearInterval(timer);
      spinner.stop();
    },
  };
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function bar(share: number): string {
  const full = Math.floor(share * CELLS);
  return `${'█'.repeat(full)}${'░'.repeat(CELLS - full)}`;
}
