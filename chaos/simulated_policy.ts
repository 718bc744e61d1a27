import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { PolicyEnded, PolicyRefused, UnknownPolicy } from '../client/errors.ts';
import type { PolicyClient } from '../client/policy_client.ts';
import type { PolicyId } from '../client/start_operation.ts';
import type { Policy } from '../policy/record.ts';
import { workflowIdOf } from '../policy/workflow_id.ts';
import { type Answer, cancelSignal } from '../workflows/messages.ts';
import type { Finding } from './findings.ts';
import { type Message, Model, type Outcome, type Plan, type Step } from './model.ts';
import { FLOOD } from './plan.ts';

/** How long until the next try, doubled each time: a server that is overrun gets no better by being asked. */
const AGAIN_MS = { first: 500, most: 8_000 };
/** A message that nobody answers for so long ends the run. */
const UNANSWERED_MS = 600_000;
/** Messages of a flood that wait for their answers at the same time. */
const FLOOD_AT_ONCE = 5;

export interface Counts extends Record<Outcome, number> {
  /** Commands, each counted once. */
  sent: number;
  /** Sent a second time on purpose. */
  again: number;
  /** Sent once more because no answer came. */
  retries: number;
  /** Without an answer. */
  signals: number;
  /** Without effect, sent in floods. */
  flood: number;
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
export class SimulatedPolicy {
  readonly id: PolicyId;
  readonly plan: Plan;
  readonly model: Model;
  readonly #with: Surroundings;
  #floodAt: number | undefined;
  /** Those that are to be sent once more. */
  #later: { message: Message; envelope: Envelope; first: Answered }[] = [];

  /** @param floodAt when in the run a flood comes, with the next step */
  constructor(id: PolicyId, plan: Plan, surroundings: Surroundings, floodAt?: number) {
    this.#floodAt = floodAt;
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
      if (this.model.over) return;
      if (this.#floodAt !== undefined && step.at >= this.#floodAt) await this.#flood();
      await delay(Math.max(0, began + step.at * duration - Date.now()));
      const late = this.#later.splice(0);
      await this.#step(step);
      // A policy that was declined is over as soon as WeChat Pay has it: what it answers then depends on timing.
      if (!this.model.over)
        for (const { message, envelope, first } of late) await this.#repeat(message, envelope, first);
    }
    if (this.#floodAt !== undefined && !this.model.over) await this.#flood();
  }

  /** The message that comes when all is over. How it was answered, where it was not accepted. */
  async next(): Promise<string | undefined> {
    const fields = { coverage_detail: 'and nobody is deaf' };
    this.model.obey({ name: 'amend', fields }, undefined);
    try {
      const { outcome } = await this.#with.client.amend(this.id, fields);
      return outcome === 'accepted' ? undefined : outcome;
    } catch (error) {
      return String(error);
    }
  }

  /** Messages without effect: what is so already, an old version, and signals that are illegal. */
  async #flood(): Promise<void> {
    this.#floodAt = undefined;
    // Two hundred events are known again, and a flood is more.
    this.#later.length = 0;
    const { client, counts } = this.#with;
    const { address = '' } = this.model.fields;
    const { version } = this.model;
    const workflow = workflowIdOf(this.id.mchid, this.id.out_insurance_no);
    const unlawful = (): Promise<string> =>
      client.ask(workflow, async () => {
        await client.temporal.workflow.getHandle(workflow).signal(cancelSignal, { cause: 'NOBODY' } as never);
        return '';
      });
    let left = FLOOD;
    const pour = async (): Promise<void> => {
      while (left-- > 0) {
        counts.flood++;
        if (left % 3 === 0) await this.#answered('flood', 'no answer', unlawful);
        else if (left % 3 === 1 && version !== null)
          await this.#answered('flood', 'superseded', () => client.amend(this.id, { address: 'old', version }));
        else await this.#answered('flood', 'unchanged', () => client.amend(this.id, { address }));
      }
    };
    await Promise.all(Array.from({ length: FLOOD_AT_ONCE }, pour));
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
    let wait = AGAIN_MS.first;
    for (const deadline = Date.now() + UNANSWERED_MS; ; await delay(wait)) {
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
        wait = Math.min(2 * wait, AGAIN_MS.most);
      }
    }
  }

  #otherwise(what: string, expected: string, found: string): void {
    this.#with.unexpected.push({ number: this.number, what: `${what}: expected ${expected}, found ${found}` });
  }
}
