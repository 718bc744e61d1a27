import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { PolicyEnded, PolicyRefused, UnknownPolicy } from '../client/errors.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import type { PolicyId } from '../client/start_operation.ts';
import type { Policy } from '../policy/record.ts';
import type { Answer } from '../workflows/messages.ts';
import type { Finding } from './chaos_findings.ts';
import { type Message, Model, type Outcome, type Plan, type Step } from './chaos_model.ts';

const AGAIN_MS = 500;
/** A message that nobody answers for so long ends the run. */
const UNANSWERED_MS = 300_000;

export interface Counts extends Record<Outcome, number> {
  /** Commands, each counted once. */
  sent: number;
  /** Sent a second time on purpose. */
  again: number;
  /** Sent once more because no answer came. */
  retries: number;
  /** Without an answer. */
  signals: number;
}

export interface Surroundings {
  client: PolicyClient;
  counts: Counts;
  unexpected: Finding[];
  /** Takes a line of the log. */
  note(line: object): void;
}

interface Envelope {
  event_id: string;
  version?: number;
}

/** How a message was answered; a signal is not. */
type Answered = Outcome | 'no answer';

/** One policy as its merchant lives it, command by command, and what the model makes of it. */
export class Life {
  readonly id: PolicyId;
  readonly plan: Plan;
  readonly model: Model;
  readonly #with: Surroundings;
  /** Those that are to be sent once more. */
  #later: { message: Message; envelope: Envelope; first: Answered }[] = [];

  constructor(id: PolicyId, plan: Plan, surroundings: Surroundings) {
    this.id = id;
    this.plan = plan;
    this.model = new Model(plan.record.policy);
    this.#with = surroundings;
  }

  get number(): string {
    return this.id.out_insurance_no;
  }

  /** Opens the policy, and sends every command once its time has come and the one before it is answered. */
  async live(began: number, duration: number): Promise<void> {
    const { mchid, out_insurance_no } = this.id;
    const policy = { ...this.plan.record.policy, out_insurance_no } as Policy;
    const record = { ...this.plan.record, mchid, policy };
    await this.#answered('open', 'accepted', () => this.#with.client.openPolicy(record));
    for (const step of this.plan.steps) {
      if (this.model.over) break;
      await delay(Math.max(0, began + step.at * duration - Date.now()));
      const late = this.#later.splice(0);
      await this.#step(step);
      // A policy that was declined is over as soon as WeChat Pay has it: what it answers then depends on timing.
      if (!this.model.over)
        for (const { message, envelope, first } of late) await this.#repeat(message, envelope, first);
    }
  }

  async #step({ message, delivery, version: kind }: Step): Promise<void> {
    const { counts } = this.#with;
    const last = this.model.version;
    const version = { none: undefined, newer: (last ?? 0) + 1, old: last ?? undefined }[kind];
    const envelope = { event_id: randomUUID(), ...(version !== undefined && { version }) };
    const should = this.model.obey(message, version);
    const expected = message.name === 'cancelBySignal' ? 'no answer' : should;
    counts.sent++;
    if (expected === 'no answer') counts.signals++;
    else counts[expected]++;
    const send = (): Promise<void> =>
      this.#answered(message.name, expected, () => this.#send(message, envelope), envelope);
    if (delivery === 'twice') counts.again++;
    await Promise.all(delivery === 'twice' ? [send(), send()] : [send()]);
    if (delivery === 'again' && should !== 'refused' && should !== 'superseded')
      this.#later.push({ message, envelope, first: expected });
  }

  async #repeat(message: Message, envelope: Envelope, first: Answered): Promise<void> {
    this.#with.counts.again++;
    await this.#answered(`${message.name} again`, first, () => this.#send(message, envelope), envelope);
  }

  #send(message: Message, envelope: Envelope): Promise<Answer | string> {
    const { client } = this.#with;
    switch (message.name) {
      case 'approve':
        return client.approve(this.id, { policy_code: message.policy_code, ...envelope });
      case 'decline':
        return client.decline(this.id, { reason: message.reason, ...envelope });
      case 'amend':
        return client.amend(this.id, { ...message.fields, ...envelope });
      case 'cancel':
        return client.cancel(this.id, { cause: message.cause, ...envelope });
      case 'cancelBySignal':
        return client.cancelBySignal(this.id, { cause: message.cause, ...envelope });
      case 'renew':
        return client.renew(this.id, { expired_time: message.expired_time, ...envelope });
      case 'reinstate':
        return client.reinstate(this.id, { reason: message.reason, ...envelope });
    }
  }

  /** Asks until there is an answer, and holds it against the one expected. */
  async #answered(
    what: string,
    expected: Answered,
    ask: () => Promise<Answer | string>,
    envelope?: Envelope,
  ): Promise<void> {
    const { number } = this;
    const sent = new Date().toISOString();
    for (const deadline = Date.now() + UNANSWERED_MS; ; await delay(AGAIN_MS)) {
      try {
        const answer = await ask();
        const outcome = typeof answer === 'string' ? 'no answer' : answer.outcome;
        this.#with.note({ number, what, sent, answered: new Date().toISOString(), envelope, answer });
        if (outcome !== expected) this.#otherwise(what, expected, outcome);
        return;
      } catch (error) {
        const told = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
        this.#with.note({ number, what, sent, failed: new Date().toISOString(), envelope, told });
        // It has done what it was told to, was synced, and ended, before its answer came through.
        if (error instanceof PolicyEnded && what === 'decline' && expected === 'accepted') return;
        if (error instanceof PolicyRefused && expected === 'refused') return;
        if (error instanceof PolicyRefused || error instanceof PolicyEnded || error instanceof UnknownPolicy)
          return this.#otherwise(what, expected, told);
        if (Date.now() > deadline) throw new Error(`${number}: ${what} is not answered: ${told}`);
        this.#with.counts.retries++;
      }
    }
  }

  #otherwise(what: string, expected: string, found: string): void {
    this.#with.unexpected.push({ number: this.number, what: `${what}: expected ${expected}, found ${found}` });
  }
}
