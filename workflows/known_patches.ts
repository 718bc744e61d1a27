import { getActivator } from '@temporalio/workflow/lib/global-attributes.js';

/** The patches whose markers this run has so far, its present task with them, at a replay. The SDK says it nowhere else. */
export function knownPatches(): ReadonlySet<string> {
  const { knownPresentPatches } = getActivator() as unknown as { knownPresentPatches: ReadonlySet<string> };
  return knownPresentPatches;
}
