import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { cacheFolder } from '../embedded/cache.ts';

const VERSION = '4.32.5';

/**
 * The program schemathesis in a virtual environment of Python's, kept in the cache folder.
 * @returns its path; undefined where it cannot be had, and why
 */
export function schemathesis(): { program: string } | { lacks: string } {
  const folder = join(cacheFolder(), `schemathesis-${VERSION}`);
  const program = join(folder, 'bin', 'schemathesis');
  if (existsSync(program)) return { program };
  try {
    mkdirSync(cacheFolder(), { recursive: true });
    run('python3', '-m', 'venv', folder);
    run(join(folder, 'bin', 'pip'), ...QUIET, `schemathesis==${VERSION}`);
    return { program };
  } catch (error) {
    const [line = ''] = String((error as Error).message).split('\n');
    return { lacks: `no schemathesis by python3 and pip: ${line}` };
  }
}

const QUIET = ['install', '--quiet', '--disable-pip-version-check', '--no-input', '--retries', '1', '--timeout', '15'];

function run(command: string, ...args: string[]): void {
  execFileSync(command, args, { stdio: 'pipe', timeout: 180_000 });
}
