import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from './error_text.ts';
import { exitCodeOf } from './exit_code.ts';
import { note } from './output.ts';
import { untilTold } from './until_told.ts';

/** How things stand at one look. */
export interface Look {
  /** For a program. */
  value: unknown;
  /** As a terminal shows it, over what it showed before. */
  text: string;
  /** What is new since the look before, a line each: what a pipe is told. */
  news: string[];
}

/**
 * Looks again and again until Ctrl-C: a live table in a terminal, in a pipe a line for all that is new, with `json` an object for each
 * look that has something new. A server that is away is told of once, and looked for again; not at the first look, which fails.
 */
export async function live(
  look: () => Promise<Look>,
  { every, json }: { every: number; json?: boolean },
): Promise<void> {
  const end = new AbortController();
  const told = untilTold().then(() => end.abort());
  const shown = json || !process.stdout.isTTY ? plain(json) : await drawn();
  let trouble: string | undefined;
  for (let first = true; !end.signal.aborted; first = false) {
    try {
      const now = await Promise.race([look(), told]);
      if (now) shown.show(now);
      trouble = undefined;
    } catch (error) {
      if (first || exitCodeOf(error) !== 3) throw error;
      if (trouble !== messageOf(error)) shown.trouble(messageOf(error));
      trouble = messageOf(error);
    }
    await delay(every, undefined, { signal: end.signal }).catch(() => {});
  }
  shown.close();
}

interface Shown {
  show(look: Look): void;
  trouble(message: string): void;
  close(): void;
}

function plain(json: boolean | undefined): Shown {
  const write = (line: string): void => void process.stdout.write(`${line}\n`);
  return {
    show: ({ value, news }) => {
      if (!json) for (const line of news) write(line);
      else if (news.length > 0) write(JSON.stringify(value));
    },
    trouble: note,
    close() {},
  };
}

async function drawn(): Promise<Shown> {
  const { createLogUpdate } = await import('log-update');
  const table = createLogUpdate(process.stdout);
  let last = '';
  return {
    show: ({ text }) => {
      last = text;
      table(text);
    },
    trouble: (message) => table(`${last}\n\n${message}`),
    close: () => table.done(),
  };
}
