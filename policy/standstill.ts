/** How a workflow stands that keeps nothing in step although its policy has not come to its end. */
export interface Standstill {
  /** What people call it. */
  code: 'STOPPED' | 'TERMINATED' | 'TIMED_OUT' | 'FAILED' | 'PAUSED';
  /** What it means, and what to do. */
  reason: string;
}

/** By Temporal's name of the status. */
const STANDSTILLS: Readonly<Record<string, Standstill>> = {
  CANCELLED: { code: 'STOPPED', reason: 'syncing was stopped; `resume` goes on with it' },
  TERMINATED: { code: 'TERMINATED', reason: 'its workflow was terminated; `resume` goes on with it' },
  TIMED_OUT: { code: 'TIMED_OUT', reason: 'its workflow timed out; `resume` goes on with it' },
  FAILED: { code: 'FAILED', reason: 'it was refused when it began; open it again' },
  PAUSED: {
    code: 'PAUSED',
    reason: 'its workflow is paused in Temporal; `temporal workflow unpause` lets it go on',
  },
};

/** `undefined` for a workflow that runs, or has brought its policy to its end. */
export function standstillOf(status: string): Standstill | undefined {
  return STANDSTILLS[status];
}
