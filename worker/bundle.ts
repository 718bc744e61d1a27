import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, type WorkflowBundleWithSourceMap } from '@temporalio/worker';

export interface WorkflowBuild {
  bundle: WorkflowBundleWithSourceMap;
  /** Digest of the bundle: the same code is the same version, wherever it was built. */
  buildId: string;
}

const silent = { log() {}, trace() {}, debug() {}, info() {}, warn() {}, error() {} };

/**
 * Bundles the workflow code with the converters of `codec/`, that of failures where payloads are sealed. Unless what comes
 * in the clear is taken all the same, messages without a payload are not.
 */
export async function buildWorkflows(sealed: boolean, allowPlain = false): Promise<WorkflowBuild> {
  const bundle = await bundleWorkflowCode({
    workflowsPath: pathOf('../workflows/workflows.ts'),
    logger: silent,
    // Modules are named by their paths from here; from the folder that a process happens to run in, the same code
    // would be another version in each.
    webpackConfigHook: (config) => ({ ...config, context: pathOf('..') }),
    payloadConverterPath: pathOf('../codec/payload_converter.ts'),
    ...(sealed && { failureConverterPath: pathOf('../codec/failure_converter.ts') }),
    ...(sealed && !allowPlain && { workflowInterceptorModules: [pathOf('../workflows/sealed_only.ts')] }),
  });
  // The inline source map has this machine's paths in it; the code has not.
  const code = bundle.code.replace(/\/\/# sourceMappingURL=.*$/m, '');
  return { bundle, buildId: createHash('sha256').update(code).digest('hex').slice(0, 16) };
}

function pathOf(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}
