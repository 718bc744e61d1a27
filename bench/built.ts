// What the benches measure is what users run: compiled, with a bundle made before.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { bundleWorkflowCode } from '@temporalio/worker';

/** The `policy-sync` command, compiled. */
export const COMMAND = pathOf('../dist/command/main.js');
export const BARE_WORKER = pathOf('./bare/worker.mjs');
export const OUT = pathOf('../out/bench');
export const BARE_BUNDLE = `${OUT}/bare.js`;

/** Arguments of a Node whose memory is measured; see the file. */
export const COLLECTABLE = ['--expose-gc', '--import', pathToFileURL(pathOf('./gc.mjs')).href];

const silent = { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {} };

/** Makes both anew: ours by `npm run build`, and the bundle of the bare workflows. */
export async function build(): Promise<void> {
  const ours = spawn(process.execPath, ['--import', 'tsx', pathOf('../packaging/build.ts')], { stdio: 'inherit' });
  const [code] = await once(ours, 'exit');
  if (code !== 0) throw new Error('npm run build fails: see above');
  const bare = await bundleWorkflowCode({ workflowsPath: pathOf('./bare/workflows.ts'), logger: silent });
  await mkdir(OUT, { recursive: true });
  await writeFile(BARE_BUNDLE, bare.code);
}

function pathOf(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}
