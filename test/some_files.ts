// Runs in this process, one after the other, test files that no other process of this run has taken (test/run_files.ts).
// Each finds the environment and the folder as the first did.
import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, describe } from 'node:test';
import { pathToFileURL } from 'node:url';

/** A file that hangs is given up, and named as failed. */
const MOST_MS_OF_A_FILE = 15 * 60_000;

/** How long what is left behind may take to go by itself. */
const LEFT_BEHIND_MS = 20_000;

const { files, taken } = JSON.parse(process.env.TEST_FILES ?? '') as { files: string[]; taken: string };
const [env, folder] = [{ ...process.env }, process.cwd()];

/** Whether this process is the first to ask for it. */
async function take(file: string): Promise<boolean> {
  return mkdir(join(taken, basename(file))).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return false;
      throw error;
    },
  );
}

function restore(): void {
  for (const name of Object.keys(process.env)) if (!(name in env)) delete process.env[name];
  Object.assign(process.env, env);
  process.chdir(folder);
}

for (const file of files)
  if (await take(file)) {
    await new Promise<void>((resolve) => {
      describe(basename(file), { timeout: MOST_MS_OF_A_FILE }, async () => {
        await import(pathToFileURL(file).href).finally(() => after(() => resolve()));
      });
    });
    restore();
    await mkdir(join(taken, basename(file), 'ended'));
  }

// Node tells the end of it all when nothing is left to do. The native part of Temporal's SDK now and then goes on for ever, with nothing to
// be seen of it here.
setTimeout(() => {
  console.error(`still there after all tests: ${process.getActiveResourcesInfo().join(', ')}`);
  process.emit('beforeExit', 0);
  setTimeout(() => process.exit(), 2_000);
}, LEFT_BEHIND_MS).unref();
