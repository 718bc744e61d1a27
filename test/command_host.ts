// Runs `policy-sync` commands one after the other in this process, as its parent asks (test/command_process.ts).
import { Readable } from 'node:stream';
import { run } from '../command/run.ts';
import type { Ran } from './command_process.ts';

export interface Asked {
  n: number;
  words: string[];
  env: NodeJS.ProcessEnv;
  /** Standard input. */
  input: string;
}

export interface Answered extends Ran {
  n: number;
}

async function answered({ n, words, env, input }: Asked): Promise<Answered> {
  process.env = { ...env, NO_COLOR: '1' };
  process.exitCode = undefined;
  Object.defineProperty(process, 'stdin', { value: Readable.from([Buffer.from(input)]), configurable: true });
  const written = { stdout: '', stderr: '' };
  const { stdout, stderr } = process;
  const own = { stdout: stdout.write, stderr: stderr.write };
  stdout.write = (text: string | Uint8Array) => {
    written.stdout += text;
    return true;
  };
  stderr.write = (text: string | Uint8Array) => {
    written.stderr += text;
    return true;
  };
  try {
    return { n, code: await run(words), ...written };
  } finally {
    Object.assign(stdout, { write: own.stdout });
    Object.assign(stderr, { write: own.stderr });
    process.exitCode = 0;
  }
}

let before: Promise<unknown> = Promise.resolve();
process.on('message', (asked: Asked) => {
  before = before.then(() => answered(asked)).then((answer) => process.send?.(answer));
});
