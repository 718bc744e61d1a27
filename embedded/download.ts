import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runToEnd } from './build.ts';

const script = fileURLToPath(new URL('download.mjs', import.meta.url));

/**
 * Fetches an official build into an empty folder, under the name of the kind (`temporal`, `temporal-test-server`,
 * `mongod`).
 * @throws Error in one line, within seconds where the download cannot be reached
 */
export function download(kind: 'temporal' | 'time-skipping' | 'mongod', folder: string): Promise<void> {
  return runToEnd({
    command: process.execPath,
    args: [script, kind, folder],
    logFile: join(folder, 'download.log'),
  });
}
