import { proxySinks, type Sinks, workflowInfo } from '@temporalio/workflow';
import type { PolicySync, Status } from './messages.ts';

/** A line of the worker's log: numbers, codes and names of fields, no value of a policy. */
export interface Line {
  mchid?: string;
  out_insurance_no?: string;
  [field: string]: string | number | readonly string[] | undefined;
}

/** What a worker gives workflows to log with. */
export interface LogSinks extends Sinks {
  policyLog: {
    info(line: Line, message: string): void;
    warn(line: Line, message: string): void;
  };
}

// Not called in a replay: a line comes once, or again where a workflow task is tried again.
const { policyLog } = proxySinks<LogSinks>();

/** Where a policy waits for a person or for better times. */
const OUT_OF_STEP: Partial<Record<PolicySync, string>> = {
  RETRYING: 'a policy is RETRYING: a change has waited for longer than retry_alert_after; resume tries at once',
  BLOCKED: 'a policy is BLOCKED: amend what is wrong, or resume once the reason is gone, or accept to give it up',
  DIVERGED: "a policy is DIVERGED: accept takes WeChat Pay's record, resume sends ours",
  HELD: 'a policy is HELD: messages are taken, nothing is sent, and due times wait until somebody sends unhold',
  STOPPED: 'a policy is STOPPED: its workflow was cancelled, and nothing keeps it in step; resume goes on',
};

/** What the last answer of WeChat Pay's said beside the policy. */
export interface LastAnswer {
  code?: string;
  request_id?: string | undefined;
  /** Attempts that were made for it, where they had no effect. */
  attempts?: number | undefined;
}

/** Tells the worker's log when a policy goes out of step, and when it is back: one line each. */
export class Transitions {
  /** It was told that the policy is out of step, and not yet that it is back. */
  outOfStep: boolean;
  #last: string;
  #healed: string[] = [];

  /** @param shown what a run before this has told of; absent where none has */
  constructor(shown?: { status: Status; outOfStep: boolean }) {
    this.outOfStep = shown?.outOfStep ?? false;
    this.#last = shown ? keyOf(shown.status) : '';
  }

  /** Fields that drifted and are as we want them again, to be told of with the next line. */
  heal(fields: readonly string[]): void {
    this.#healed.push(...fields);
  }

  look(status: Status, answer: LastAnswer): void {
    const key = keyOf(status);
    const isBack = status.sync === 'SYNCED' && (this.outOfStep || this.#healed.length > 0);
    if (key === this.#last && !isBack) return;
    this.#last = key;
    const message = OUT_OF_STEP[status.sync];
    if (message) policyLog.warn({ ...lineOf(status), ...reasonOf(status, answer) }, message);
    else if (isBack) {
      const fields = this.#healed.length > 0 ? { healed: this.#healed } : {};
      policyLog.info({ ...lineOf(status), request_id: answer.request_id, ...fields }, 'a policy is in step again');
    }
    if (message || isBack) this.outOfStep = message !== undefined;
    if (isBack) this.#healed = [];
  }
}

/** A run that its first act refuses: whoever started it by hand may not look at it again. */
export function tellRefused(rule: string | null | undefined): void {
  const { workflowId, runId } = workflowInfo();
  policyLog.warn(
    { ...numberIn(workflowId), rule: rule ?? 'unknown', run_id: runId },
    'the start of a policy is refused',
  );
}

/** A signal that was illegal: nobody else is answered. */
export function tellIgnored(command: string, rule: string): void {
  policyLog.warn({ ...numberIn(workflowInfo().workflowId), command, rule }, 'an illegal signal is ignored');
}

/** What makes another line of the same `sync`. */
function keyOf({ sync, block, diverged }: Status): string {
  return JSON.stringify([sync, sync === 'BLOCKED' && block?.code, sync === 'DIVERGED' && diverged]);
}

function lineOf({ mchid, out_insurance_no, state, sync, revision, synced_revision }: Status): Line {
  return { mchid, out_insurance_no, state, sync, revision, synced_revision };
}

function reasonOf({ sync, block, diverged }: Status, { code, request_id, attempts }: LastAnswer): Line {
  if (sync === 'STOPPED' || sync === 'HELD') return {};
  if (sync === 'DIVERGED') return { code, request_id, fields: diverged };
  return { code: block?.code ?? code, request_id: block?.request_id ?? request_id, ...(!block && { attempts }) };
}

/** Only what has the form of a policy's id: another may hold anything. */
function numberIn(workflowId: string): Line {
  const [, mchid, out_insurance_no] = /^policy\/(\d{1,32})\/([0-9A-Za-z]{1,32})$/.exec(workflowId) ?? [];
  return mchid && out_insurance_no ? { mchid, out_insurance_no } : {};
}
