import { readFileSync } from 'node:fs';
import { UsageError } from './usage.ts';

/** Settings that hold a secret, and may stand in a file that `…_FILE` names: as containers are given theirs. */
const SECRETS = ['MONGODB_URI', 'POLICY_SYNC_KEYS'] as const;

/**
 * Reads the files of secrets into the environment, where all else looks for them.
 * @throws {UsageError} for a file that cannot be read or is empty, and for a setting beside its file
 */
export function takeSecretFiles(env: NodeJS.ProcessEnv): void {
  for (const name of SECRETS) {
    const setting = `${name}_FILE`;
    const file = env[setting];
    if (file === undefined) continue;
    if (env[name] !== undefined) throw new UsageError(`${name}: expected this or ${setting}, found both`);
    env[name] = secretIn(file, setting);
    // Processes that this one starts take it from their environment.
    delete env[setting];
  }
}

function secretIn(file: string, setting: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UsageError(`${setting}: expected the path of a file with it, found ${code} at ${file}`);
  }
  if (text === '') throw new UsageError(`${setting}: expected the path of a file with it, found an empty one`);
  return text;
}
