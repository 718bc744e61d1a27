// npm run build: compiles what is published into dist/, and bundles the workflows beside the worker.
import { spawnSync } from 'node:child_process';
import { cp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BUNDLE_KINDS, bundleFile, bundleWorkflows } from '../worker/bundle.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');

await rm(dist, { recursive: true, force: true });
compile();
// Pages are served as they are.
await cp(join(root, 'gateway', 'console'), join(dist, 'gateway', 'console'), { recursive: true });
for (const kind of BUNDLE_KINDS) await writeFile(join(dist, 'worker', bundleFile(kind)), await bundleWorkflows(kind));

function compile(): void {
  const tsc = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');
  const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(1);
}
