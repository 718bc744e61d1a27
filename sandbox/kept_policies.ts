import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';

/** A policy as the sandbox holds it, names in the clear; what `/_sandbox` puts in may be anything. */
export type HeldPolicy = Record<string, unknown> & { out_insurance_no: string };

/**
 * The policies that a former sandbox left in a file; none where there is no such file.
 * @throws Error in one line when the file is not one of a sandbox
 */
export function readPolicies(file: string): HeldPolicy[] {
  try {
    const policies: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (Array.isArray(policies)) return policies as HeldPolicy[];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw new Error(`${file}: expected the policies of a sandbox, found something else: move it away`);
}

/** Replaces the file at once, so that a kill leaves the old or the new one. Names are in the clear: its owner alone may read it. */
export function writePolicies(file: string, policies: HeldPolicy[]): void {
  const draft = `${file}.part`;
  // A mode is for a file that is made: not for one that a killed process has left.
  rmSync(draft, { force: true });
  writeFileSync(draft, JSON.stringify(policies), { mode: 0o600 });
  renameSync(draft, file);
}
