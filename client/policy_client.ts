import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import type { CommandInput, Envelope } from '../policy/commands.ts';
import type { Difference } from '../policy/difference.ts';
import type { RecordInput } from '../policy/record.ts';
import { workflowIdOf } from '../policy/workflow_id.ts';
import type { Answer, Status } from '../workflows/messages.ts';
import * as messages from '../workflows/messages.ts';
import { expectNumber, expectObject, expectText, idOf } from './arguments.ts';
import { PolicyEnded, PolicyRefused, UnknownPolicy } from './errors.ts';
import { explained } from './explained.ts';
import { isMerchantServed } from './fleet.ts';
import type { Patience } from './questions.ts';
import { restarted, untilEnded } from './restarts.ts';
import { CUT_SHORT, lastLife, unclaimedRun } from './runs.ts';
import { named, Sending } from './sending.ts';
import type { PolicyId } from './start_operation.ts';
import { traced } from './traced.ts';
import { Workers } from './workers.ts';

export interface PolicyClientOptions {
  /**
   * How long an answer is waited for, in ms.
   * @default 30000; of `verify` 65000
   */
  timeout?: number;
  /** Given the identities of the workers that poll: which of our settings does not fit theirs, in one line. */
  misfit?: (identities: readonly string[]) => string | undefined;
  /** Ends what the Temporal client was made with, when this client is closed. */
  close?: () => Promise<void>;
}

/** What became of `openPolicy`. */
export interface Opened extends Answer, PolicyId {
  workflow_id: string;
  /** Digest of the record, the update id of `open`. */
  digest: string;
  /** One line each: what hinders the policy although it is open. */
  warnings: string[];
}

/** The answer of `verify`. Values of personal fields are among them. */
export type Verified = Answer & { differences: Difference[] };

export const ANSWER_MS = 30_000;
// The workflow itself gives up after 60 s, and says why.
const VERIFY_MS = 65_000;

/**
 * Every message of a policy as a typed function. All throw the errors of `errors.ts` and nothing else of the
 * network; all give the message an `event_id` where it has none, and the same `event_id` twice is done once. An argument
 * of another kind than its type says is refused before anything is sent (`PolicyRefused`, `type`).
 */
export class PolicyClient {
  readonly temporal: Client;
  /** How long an answer is waited for, in ms. */
  readonly timeout: number;
  readonly #verifyTimeout: number;
  readonly #close: (() => Promise<void>) | undefined;
  readonly #workers: Workers;
  readonly #sending: Sending;

  constructor(temporal: Client, options: PolicyClientOptions = {}) {
    expectObject(options, 'options');
    if (options.timeout !== undefined) expectNumber(options.timeout, 'options.timeout');
    this.temporal = temporal;
    this.timeout = options.timeout ?? ANSWER_MS;
    this.#verifyTimeout = options.timeout ?? VERIFY_MS;
    this.#close = options.close;
    this.#workers = new Workers(temporal, options);
    this.#sending = new Sending(this, this.#workers);
  }

  /**
   * Opens a policy. The same record again answers the same, also after amendments, and when the policy has ended
   * for as long as Temporal keeps its history. Checks the record first.
   * A number whose last run was refused in its first act, or ended before it, is free.
   * @throws {PolicyRefused} `exists` for another record under the number, or the record's broken rules
   * @throws {PolicyEnded} when the number's life is over, for any other record
   * @throws {InvalidSetting} when the workers' payload keys are others
   */
  async openPolicy(input: RecordInput, envelope: Envelope = {}): Promise<Opened> {
    const [{ checkedRecord, checkEnvelope }, { digestOf }, { startFromRecord }] = await Promise.all([
      import('./checks.ts'),
      import('./digest.ts'),
      import('./opening.ts'),
    ]);
    const record = checkedRecord(input);
    checkEnvelope(envelope);
    const digest = digestOf(record);
    const { out_insurance_no } = record.policy;
    const workflow_id = workflowIdOf(record.mchid, out_insurance_no);
    await this.#workers.check();
    const message = { ...named(envelope), digest };
    const open = (updateId: string, free: boolean) => {
      const send = () =>
        this.temporal.workflow.executeUpdateWithStart(messages.open, {
          args: [message],
          updateId,
          startWorkflowOperation: startFromRecord(record, digest, free),
        });
      return traced('open', workflow_id, () => this.ask(workflow_id, send));
    };
    const answer = await open(digest, false).catch(async (error: unknown) => {
      const refused = error instanceof PolicyRefused || error instanceof PolicyEnded;
      const run = refused ? await unclaimedRun(this, workflow_id) : undefined;
      if (run === undefined) throw error;
      // Under another id: Temporal would repeat what the last run answered.
      return open(`${digest}/${run}`, true);
    });
    const warnings = await this.#hindrances(record.mchid);
    return { mchid: record.mchid, out_insurance_no, ...answer, workflow_id, digest, warnings };
  }

  approve(policy: PolicyId, message: CommandInput<'approve'>): Promise<Answer> {
    return this.#sending.command(policy, messages.approve, 'approve', message);
  }

  decline(policy: PolicyId, message: CommandInput<'decline'>): Promise<Answer> {
    return this.#sending.command(policy, messages.decline, 'decline', message);
  }

  /** The user surrenders, now or at a future `at`. */
  cancel(policy: PolicyId, message: CommandInput<'cancel'> = {}): Promise<Answer> {
    return this.#sending.command(policy, messages.cancel, 'cancel', message);
  }

  /**
   * The same as a signal: returns once Temporal has it, whether or not a worker runs, without an answer. One that is
   * illegal is ignored and marked for attention.
   * @returns the event's id
   */
  async cancelBySignal(policy: PolicyId, message: CommandInput<'cancel'> = {}): Promise<string> {
    const id = idOf(policy);
    (await import('./checks.ts')).checkCommand('cancel', message);
    await this.#workers.check();
    const signal = named(message);
    const send = () => this.temporal.workflow.getHandle(id).signal(messages.cancelSignal, signal);
    await traced('cancel', id, () => this.ask(id, async () => void (await send())));
    return signal.event_id;
  }

  /** Takes back a cancellation whose time has not come. */
  withdraw(policy: PolicyId, message: CommandInput<'withdraw'> = {}): Promise<Answer> {
    return this.#sending.command(policy, messages.withdraw, 'withdraw', message);
  }

  amend(policy: PolicyId, message: CommandInput<'amend'>): Promise<Answer> {
    return this.#sending.command(policy, messages.amend, 'amend', message);
  }

  renew(policy: PolicyId, message: CommandInput<'renew'>): Promise<Answer> {
    return this.#sending.command(policy, messages.renew, 'renew', message);
  }

  /**
   * INACTIVE to APPROVED. A policy that has ended begins a new run from its record in MongoDB.
   * @throws {PolicyRefused} with rule `stopped` where its workflow was cancelled, terminated or timed out: resume it first
   */
  async reinstate(policy: PolicyId, message: CommandInput<'reinstate'>): Promise<Answer> {
    (await import('./checks.ts')).checkCommand('reinstate', message);
    const event = named(message);
    try {
      return await this.#sending.command(policy, messages.reinstate, 'reinstate', event);
    } catch (error) {
      if (!(error instanceof PolicyEnded || error instanceof UnknownPolicy)) throw error;
      // Its record has not come to its end, so that a run from it would only fail, and hide which life `resume` goes on with.
      if (error instanceof PolicyEnded && CUT_SHORT.has(error.ending ?? ''))
        throw new PolicyRefused(messages.REFUSALS.stopped, `${error.message}; only then reinstate it`);
    }
    return restarted(this, policy, 'reinstate', messages.reinstate, event);
  }

  /** From now on messages are taken, nothing is sent to WeChat Pay, and due times wait: HELD, until `unhold`. */
  hold(policy: PolicyId, message: CommandInput<'hold'>): Promise<Answer> {
    return this.#sending.command(policy, messages.hold, 'hold', message);
  }

  /** Goes on with a policy on hold, beginning with a GET; what came due meanwhile is done at once. */
  unhold(policy: PolicyId, message: CommandInput<'unhold'> = {}): Promise<Answer> {
    return this.#sending.command(policy, messages.unhold, 'unhold', message);
  }

  /**
   * On: watched and compared, never written: OBSERVED, with the names of the fields that differ. Off: ours from now on, beginning
   * with a GET; what it finds otherwise is what the record's `adopt` says.
   */
  observe(policy: PolicyId, message: CommandInput<'observe'>): Promise<Answer> {
    return this.#sending.command(policy, messages.observe, 'observe', message);
  }

  /** Tries at once what is BLOCKED or waits to be retried. A STOPPED policy begins a new run from its record. */
  async resume(policy: PolicyId, message: Envelope = {}): Promise<Answer> {
    (await import('./checks.ts')).checkEnvelope(message);
    const event = named(message);
    try {
      return await this.#sending.bare(policy, messages.resume, event);
    } catch (error) {
      const stopping = error instanceof PolicyRefused && error.rule === messages.REFUSALS.stopped;
      const stopped = error instanceof PolicyEnded && error.ending !== 'COMPLETED';
      if (!stopping && !stopped && !(error instanceof UnknownPolicy)) throw error;
      if (stopping) await untilEnded(this, policy);
    }
    return restarted(this, policy, 'resume', messages.resume, event, await lastLife(this, idOf(policy)));
  }

  /**
   * Asks WeChat Pay now, and compares.
   * @throws {Unavailable} when WeChat Pay did not answer within 60 s, or `timeout` where that is less
   */
  verify(policy: PolicyId, message: Envelope = {}): Promise<Verified> {
    const late = 'WeChat Pay is slow, or no worker runs: wait longer, and see `policy-sync show`';
    // Temporal keeps the answer of an update by its id, `Unavailable` too: who asks again is asking anew.
    return this.#sending.bare(policy, messages.verify, message, {
      timeout: this.#verifyTimeout,
      late,
      updateId: randomUUID(),
    });
  }

  /** DIVERGED: WeChat Pay's record becomes ours. */
  accept(policy: PolicyId, message: Envelope = {}): Promise<Answer> {
    return this.#sending.bare(policy, messages.accept, message);
  }

  /** Where the policy stands; of an ended one too, while Temporal keeps its history. No personal data. */
  async status(policy: PolicyId): Promise<Status> {
    const id = idOf(policy);
    return this.ask(id, () => this.temporal.workflow.getHandle(id).query(messages.status));
  }

  /** Whether some worker takes the merchant's calls. */
  async isServed(mchid: string): Promise<boolean> {
    expectText(mchid, 'mchid');
    const { workflowService, options } = this.temporal;
    return this.ask(undefined, () => isMerchantServed(workflowService, options.namespace, mchid));
  }

  /** Why no policy moves, and what to do, in one line; undefined where workers of the current version poll. */
  standstill(): Promise<string | undefined> {
    return this.ask(undefined, () => this.#workers.standstill(), { timeout: this.#workers.patience });
  }

  /** Runs a question to Temporal under the time-out, its errors turned into those of `errors.ts`. */
  async ask<T>(
    workflowId: string | undefined,
    question: () => Promise<T>,
    { timeout = this.timeout, late }: Patience = {},
  ): Promise<T> {
    try {
      return await this.temporal.withDeadline(Date.now() + timeout, question);
    } catch (error) {
      throw await explained(error, { client: this.temporal, workflowId, timeout, late });
    }
  }

  async close(): Promise<void> {
    await this.#close?.();
  }

  async #hindrances(mchid: string): Promise<string[]> {
    try {
      const [served, idle] = await Promise.all([this.isServed(mchid), this.standstill()]);
      const lacking = `no worker serves merchant ${mchid}: add it to the WECHATPAY_MERCHANTS file of a worker that runs`;
      return [...(served ? [] : [lacking]), ...(idle === undefined ? [] : [idle])];
    } catch (error) {
      // The policy is open all the same: not knowing is a warning, no failure.
      return [`whether a worker serves merchant ${mchid} is not known: ${(error as Error).message}`];
    }
  }
}
