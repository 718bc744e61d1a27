import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, type WorkflowBundle } from '@temporalio/worker';
import { keptBundle } from './bundle_cache.ts';

/** How a worker takes payloads: as they come, sealed only, or sealed and, while callers change over, in the clear too. */
export const BUNDLE_KINDS = ['plain', 'sealed', 'sealed-or-plain'] as const;
export type BundleKind = (typeof BUNDLE_KINDS)[number];

export interface WorkflowBuild {
  bundle: WorkflowBundle;
  /**
   * Digest of the bundle and its kind, such as `0123456789abcdef-sealed`: the same code for the same kind of payloads is the same
   * version, wherever it was built.
   */
  buildId: string;
}

const silent = { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {} };

/**
 * The workflow code with the converters of `codec/`: prebuilt in the package; in a checkout built once, and then kept for
 * every other process.
 */
export async function buildWorkflows(sealed: boolean, allowPlain = false): Promise<WorkflowBuild> {
  const kind = !sealed ? 'plain' : allowPlain ? 'sealed-or-plain' : 'sealed';
  const prebuilt = pathOf(`./${bundleFile(kind)}`);
  const code = existsSync(prebuilt)
    ? await readFile(prebuilt, 'utf8')
    : await keptBundle(pathOf('..'), kind, () => bundleWorkflows(kind));
  return { bundle: { code }, buildId: `${digestOf(code)}-${kind}` };
}

/** Whether the workers of a version take sealed payloads; undefined where its build id does not say. */
export function isSealed(buildId: string): boolean | undefined {
  const [, kind] = /^[0-9a-f]{16}-(.+)$/.exec(buildId) ?? [];
  return (BUNDLE_KINDS as readonly (string | undefined)[]).includes(kind) ? kind !== 'plain' : undefined;
}

/** What a bundle is called beside this file in the package. */
export function bundleFile(kind: BundleKind): string {
  return `workflows-${kind}.js`;
}

/**
 * Bundles the workflow code, with the converter of failures where payloads are sealed. Unless what comes in the clear is
 * taken all the same, messages without a payload are not.
 */
export async function bundleWorkflows(kind: BundleKind): Promise<string> {
  const payloadConverterPath = pathOf('../codec/payload_converter.ts');
  const failureConverterPath = kind === 'plain' ? undefined : pathOf('../codec/failure_converter.ts');
  const { code } = await bundleWorkflowCode({
    workflowsPath: pathOf('../workflows/workflows.ts'),
    preloadModules: [
      payloadConverterPath,
      ...(failureConverterPath ? [failureConverterPath] : []),
      pathOf('../workflows/preloaded.ts'),
    ],
    logger: silent,
    // Modules and sources are named by their paths from here; from the folder that a process happens to run in, the same
    // code would be another version in each.
    webpackConfigHook: (config) => ({
      ...config,
      context: pathOf('..'),
      devtool: 'inline-nosources-source-map',
      output: { ...config.output, devtoolModuleFilenameTemplate: sourceName },
    }),
    payloadConverterPath,
    ...(failureConverterPath && { failureConverterPath }),
    workflowInterceptorModules: [
      pathOf('../workflows/listening.ts'),
      ...(kind === 'sealed' ? [pathOf('../workflows/sealed_only.ts')] : []),
      pathOf('../workflows/sealed.ts'),
      pathOf('../workflows/tracing.ts'),
    ],
  });
  return code;
}

/** A path from the root; a module left out has its request after the folder that asked for it. */
function sourceName({ resourcePath }: { resourcePath: string }): string {
  return resourcePath.split('|').at(-1) ?? resourcePath;
}

/** The source map is no part of a version: where a module's lines are does not change what it does. */
function digestOf(code: string): string {
  const run = code.replace(/\/\/# sourceMappingURL=.*$/m, '');
  return createHash('sha256').update(run).digest('hex').slice(0, 16);
}

function pathOf(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}
