import { randomUUID } from 'node:crypto';
import type { UpdateDefinition } from '@temporalio/common';
import type { CommandName, Envelope } from '../policy/commands.ts';
import type { Answer } from '../workflows/messages.ts';
import { idOf } from './arguments.ts';
import type { Patience, Questions } from './questions.ts';
import type { PolicyId } from './start_operation.ts';
import { traced } from './traced.ts';
import type { Workers } from './workers.ts';

/** How a message goes to the workflow of its policy: checked first, with an id, and under a time-out. */
export class Sending {
  readonly #client: Questions;
  readonly #workers: Workers;

  constructor(client: Questions, workers: Workers) {
    this.#client = client;
    this.#workers = workers;
  }

  async command<Message extends Envelope>(
    policy: PolicyId,
    update: UpdateDefinition<Answer, [Message]> | UpdateDefinition<Answer, [Message?]>,
    name: CommandName,
    message: Message,
  ): Promise<Answer> {
    const id = idOf(policy);
    (await import('./checks.ts')).checkCommand(name, message);
    return this.#update(id, update as UpdateDefinition<Answer, [Message]>, message);
  }

  async bare<Result extends Answer>(
    policy: PolicyId,
    update: UpdateDefinition<Result, [Envelope?]>,
    message: Envelope,
    patience?: Patience,
  ): Promise<Result> {
    const id = idOf(policy);
    (await import('./checks.ts')).checkEnvelope(message);
    return this.#update(id, update as UpdateDefinition<Result, [Envelope]>, message, patience);
  }

  async #update<Result extends Answer, Message extends Envelope>(
    id: string,
    update: UpdateDefinition<Result, [Message]>,
    message: Message,
    patience?: Patience,
  ): Promise<Result> {
    await this.#workers.check();
    const event = named(message);
    const options = { args: [event] as [Message], updateId: patience?.updateId ?? event.event_id };
    const send = () => this.#client.temporal.workflow.getHandle(id).executeUpdate(update, options);
    return traced(update.name, id, () => this.#client.ask(id, send, patience));
  }
}

/** The message with an id of its own where the source system gave none. */
export function named<Message extends Envelope>(message: Message): Message & { event_id: string } {
  return { ...message, event_id: message.event_id ?? randomUUID() };
}
