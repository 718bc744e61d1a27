import type { Client } from '@temporalio/client';

/** How an answer is waited for where it is not as usual. */
export interface Patience {
  timeout?: number;
  /** Why it may be late, and what to do. */
  late?: string;
  /** By default the event's: what is sent twice is answered once. */
  updateId?: string;
}

/** Who asks Temporal: `PolicyClient` does. */
export interface Questions {
  readonly temporal: Client;
  /** How long an answer is waited for, in ms. */
  readonly timeout: number;
  /** Runs a question under a time-out, its errors turned into those of `errors.ts`. */
  ask<T>(workflowId: string | undefined, question: () => Promise<T>, patience?: Patience): Promise<T>;
}
