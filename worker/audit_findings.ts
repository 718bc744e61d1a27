import type { Client } from '@temporalio/client';
import type { AuditResult } from '../activities/types/activities.ts';
import type { Finding } from '../storage/documents.ts';
import { reasonOf } from './grpc.ts';

/** No answer for so long is none: a workflow that is stuck accepts nothing. */
const MEND_MS = 10_000;

export interface Audited extends AuditResult {
  /** What was found, and not fixed. */
  findings: Finding[];
}

/** Counts what an audit finds, and mends it where it is told to. */
export class Findings {
  readonly #temporal: Client;
  readonly #fix: boolean;
  readonly #result: Audited;

  constructor(temporal: Client, fix: boolean, result: Audited) {
    this.#temporal = temporal;
    this.#fix = fix;
    this.#result = result;
  }

  note(found: Finding, fixed = false): void {
    const { found: counts, fixed: fixes, findings } = this.#result;
    counts[found.kind] = (counts[found.kind] ?? 0) + 1;
    if (fixed) fixes[found.kind] = (fixes[found.kind] ?? 0) + 1;
    else findings.push(found);
  }

  /** One that cannot be mended is noted as it is, and stops no other. */
  async mend(found: Finding, mend: () => Promise<unknown>): Promise<void> {
    if (!this.#fix) return this.note(found);
    try {
      await this.#temporal.withDeadline(Date.now() + MEND_MS, mend);
      this.note(found, true);
    } catch (error) {
      this.note({ ...found, reason: `${found.reason}; mending it failed: ${reasonOf(error)}` });
    }
  }
}
