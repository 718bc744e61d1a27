import Table from 'cli-table3';
import { createLogUpdate } from 'log-update';

/** A policy as the table shows it; nothing personal. */
export interface Row {
  title: string;
  number: string;
  state: string;
  sync: string;
  revision: string;
  /** The state that WeChat Pay, the sandbox, holds. */
  wechatpay: string;
  next: string;
}

export interface Narration {
  line(text: string): void;
  /** The policies as they stand now: a live table in a terminal, in a pipe a line for each that has changed. */
  show(rows: Row[]): void;
  /** Leaves the table as it stands. */
  close(): void;
}

export function makeNarration(stream: NodeJS.WriteStream = process.stdout): Narration {
  // A terminal that says it is 0 wide, as some containers', has no room for a table.
  return stream.isTTY && stream.columns > 0 ? liveTable(stream) : plainLines(stream);
}

function liveTable(stream: NodeJS.WriteStream): Narration {
  const live = createLogUpdate(stream);
  let rows: Row[] = [];
  return {
    line(text) {
      live.clear();
      stream.write(`${text}\n`);
      if (rows.length > 0) live(tableOf(rows));
    },
    show(now) {
      rows = now;
      live(tableOf(rows));
    },
    close() {
      live.done();
    },
  };
}

function tableOf(rows: Row[]): string {
  const table = new Table({
    head: ['policy', 'number', 'state', 'sync', 'revision', 'at WeChat Pay', 'due next'],
    style: { head: ['bold'], border: ['dim'], compact: true },
  });
  for (const { title, number, state, sync, revision, wechatpay, next } of rows)
    table.push([title, number, state, sync, revision, wechatpay, next]);
  return table.toString();
}

function plainLines(stream: NodeJS.WritableStream): Narration {
  const told = new Map<string, string>();
  const line = (text: string): void => {
    stream.write(`${text}\n`);
  };
  return {
    line,
    show(rows) {
      for (const { title, number, state, sync, revision, wechatpay } of rows) {
        if (state === '') continue;
        const text = `${title} (${number}): ${state}, ${sync}, revision ${revision}; WeChat Pay: ${wechatpay || 'none'}`;
        if (told.get(number) !== text) line(text);
        told.set(number, text);
      }
    },
    close() {},
  };
}
