// The workflow code of two later releases: the worked change of docs/evolving.md, made in copies of this checkout.
import assert from 'node:assert/strict';
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Guarded, lastLines, startGuarded } from '../embedded/guarded.ts';
import { until } from './client_namespace.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** No part of a worker, or what the copy has a link to. */
const LEFT_OUT = new Set(['node_modules', 'dist', 'out', 'docs', 'test', 'bench', 'chaos', 'deploy', 'examples']);

interface Edit {
  file: string;
  before: string;
  after: string;
}

const CHANGED = 'workflows/presentation.ts';
const PLACE = '  if (changed.length > 0) upsertSearchAttributes(changed);\n';

/** Release 1: does as before, and follows the change where a history has it already. */
export const FOLLOWS: readonly Edit[] = [
  {
    file: CHANGED,
    before: "import { setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';\n",
    after: `import { patched, setCurrentDetails, upsertMemo, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import { knownPatches } from './known_patches.ts';
`,
  },
  {
    file: CHANGED,
    before: PLACE,
    after: `${PLACE}  if (changed.length > 0 && follows('state-in-memo')) upsertMemo({ state: shortState(life.record.policy.policy_state) });
`,
  },
  {
    file: CHANGED,
    before: 'function comparable(',
    after: `/** Whether the history has the change already, made by a later release. */
function follows(change: string): boolean {
  return knownPatches().has(change) && patched(change);
}

function comparable(`,
  },
];

/** Release 2: makes the change. */
export const MAKES: readonly Edit[] = [
  ...FOLLOWS,
  { file: CHANGED, before: "follows('state-in-memo')", after: "patched('state-in-memo')" },
];

/** A copy of this checkout with these changes, in `folder`. */
export async function makeRelease(folder: string, edits: readonly Edit[]): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const name of await readdir(ROOT))
    if (!LEFT_OUT.has(name) && !name.startsWith('.'))
      await cp(join(ROOT, name), join(folder, name), { recursive: true });
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  for (const { file, before, after } of edits) {
    const text = await readFile(join(folder, file), 'utf8');
    assert.equal(text.split(before).length, 2, `${file} has once: ${before}`);
    await writeFile(
      join(folder, file),
      text.replace(before, () => after),
    );
  }
}

export interface Release {
  /** Of its Worker Deployment version. */
  buildId: string;
  worker: Guarded;
}

/** Starts a worker of the release in `folder`, which gets no work of policies before its version is ramped. */
export async function startRelease(folder: string, env: NodeJS.ProcessEnv): Promise<Release> {
  const logFile = join(folder, 'worker.log');
  const args = [join(folder, 'bin/policy-sync.mjs'), 'worker'];
  const worker = await startGuarded({ command: process.execPath, args, env, logFile });
  let buildId: string | undefined;
  const gone = worker.exited.then(async ({ reason }) => {
    throw new Error(`the worker has ended (${reason}): ${lastLines(logFile, 3)}`);
  });
  const running = until(async () => {
    const lines = (await readFile(logFile, 'utf8')).split('\n');
    const line = lines.find((one) => one.includes('"worker is running"'));
    buildId = line && (JSON.parse(line).buildId as string);
    return buildId !== undefined;
  }, 180_000);
  await Promise.race([running, gone]);
  // Looked at no more.
  gone.catch(() => {});
  return { buildId: buildId ?? '', worker };
}
