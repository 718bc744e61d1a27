import type { Client } from '@temporalio/client';

/** Who asks Temporal: `PolicyClient` does. */
export interface Questions {
  readonly temporal: Client;
  /** Runs a question under a time-out, its errors turned into those of `errors.ts`. */
  ask<T>(workflowId: string | undefined, question: () => Promise<T>): Promise<T>;
}
