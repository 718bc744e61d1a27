import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { Answered, Asked } from './command_host.ts';

export const COMMAND: string = fileURLToPath(new URL('../bin/policy-sync.mjs', import.meta.url));
const HOST = fileURLToPath(new URL('./command_host.ts', import.meta.url));

export interface Ran {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `policy-sync` as people do, in a process of its own; `input` goes to its standard input. */
export async function policySync(words: string[], env: NodeJS.ProcessEnv = process.env, input = ''): Promise<Ran> {
  const child = spawn(process.execPath, [COMMAND, ...words], { env: { ...env, NO_COLOR: '1' }, stdio: 'pipe' });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [stdout, stderr, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  return { code, stdout, stderr };
}

/**
 * Runs commands as `policySync` does, but one after the other in one process, which is started once: for tests of what
 * commands do and say, not of their process. It ends with this process, or when it has nothing to do after `end`.
 */
export class CommandLine {
  #host: ChildProcess | undefined;
  #asked = 0;

  async run(words: string[], env: NodeJS.ProcessEnv = process.env, input = ''): Promise<Ran> {
    const host = this.#host ?? this.#start();
    const n = ++this.#asked;
    const answered = new Promise<Ran>((resolve, reject) => {
      const ended = (code: number | null): void => reject(new Error(`the process of commands ended: ${code}`));
      const take = (answer: Answered): void => {
        if (answer.n !== n) return;
        host.off('message', take).off('exit', ended);
        const { code, stdout, stderr } = answer;
        resolve({ code, stdout, stderr });
      };
      host.on('message', take).once('exit', ended);
    });
    host.send({ n, words, env, input } satisfies Asked);
    return answered;
  }

  end(): void {
    this.#host?.disconnect();
    this.#host = undefined;
  }

  #start(): ChildProcess {
    const execArgv = ['--import', import.meta.resolve('tsx')];
    this.#host = fork(HOST, { execArgv, env: { ...process.env, NO_COLOR: '1' } }).setMaxListeners(0);
    return this.#host;
  }
}
