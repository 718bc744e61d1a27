import { setTimeout as delay } from 'node:timers/promises';
import type { UpdateDefinition } from '@temporalio/common';
import type { Envelope } from '../policy/commands.ts';
import type { Answer } from '../workflows/messages.ts';
import { idOf } from './arguments.ts';
import { Unavailable } from './errors.ts';
import type { Questions } from './questions.ts';
import { type PolicyId, type Restarting, startFromStorage } from './start_operation.ts';
import { traced } from './traced.ts';

// How a message begins a new run of a policy whose last one has ended.

/** Until a run that is being stopped has ended: that takes it half a minute while MongoDB is away. */
export async function untilEnded(client: Questions, policy: PolicyId): Promise<void> {
  const handle = client.temporal.workflow.getHandle(idOf(policy));
  const deadline = Date.now() + client.timeout;
  while ((await client.ask(handle.workflowId, () => handle.describe())).status.name === 'RUNNING') {
    if (Date.now() > deadline)
      throw new Unavailable(
        `${policy.mchid}/${policy.out_insurance_no} is still being stopped after ${client.timeout / 1000} s: try again`,
      );
    await delay(200);
  }
}

/** Starts a run from the record in MongoDB, and sends it the message. */
export function restarted<Message extends Envelope & { event_id: string }>(
  client: Questions,
  policy: PolicyId,
  by: Restarting,
  update: UpdateDefinition<Answer, [Message]> | UpdateDefinition<Answer, [Envelope?]>,
  event: Message,
  over?: string,
): Promise<Answer> {
  const id = idOf(policy);
  const send = () =>
    client.temporal.workflow.executeUpdateWithStart(update as UpdateDefinition<Answer, [Message]>, {
      args: [event],
      updateId: event.event_id,
      startWorkflowOperation: startFromStorage(policy, by, over),
    });
  return traced(update.name, id, () => client.ask(id, send));
}
