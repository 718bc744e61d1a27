import { setTimeout as delay } from 'node:timers/promises';
import type { WorkflowHandle } from '@temporalio/client';
import type { Payload, PayloadCodec } from '@temporalio/common';

/** The kinds of a history's events, in order: `workflowExecutionStarted`, `activityTaskScheduled`, … */
export async function eventNames(handle: WorkflowHandle): Promise<string[]> {
  const { events } = await handle.fetchHistory();
  return (events ?? []).map((event) => {
    const [name = ''] = Object.entries(event).find(([key, value]) => key.endsWith('EventAttributes') && value) ?? [];
    return name.replace('EventAttributes', '');
  });
}

/** How many events a history has once no workflow task is under way, which would add some. */
export async function restingLength(handle: WorkflowHandle): Promise<number> {
  for (;;) {
    const names = await eventNames(handle);
    if (!/^workflowTask(Scheduled|Started)$/.test(names.at(-1) ?? '')) return names.length;
    await delay(50);
  }
}

/** Without workflow tasks: a busy server keeps some of those that left nothing behind. */
export async function lastingEventNames(handle: WorkflowHandle): Promise<string[]> {
  return (await eventNames(handle)).filter((name) => !name.startsWith('workflowTask'));
}

/** All that a history's events hold, opened by the codec, as text. */
export async function openedText(handle: WorkflowHandle, codec: PayloadCodec): Promise<string> {
  const texts: string[] = [];
  const open = async (value: unknown): Promise<void> => {
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return;
    const payload = value as Payload;
    if (payload.metadata && payload.data) {
      const [opened] = await codec.decode([payload]);
      texts.push(Buffer.from(opened?.data ?? []).toString());
    } else for (const member of Object.values(value)) await open(member);
  };
  await open((await handle.fetchHistory()).events);
  return texts.join('\n');
}
