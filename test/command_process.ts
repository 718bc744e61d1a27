import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

export const COMMAND: string = fileURLToPath(new URL('../bin/policy-sync.mjs', import.meta.url));

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
