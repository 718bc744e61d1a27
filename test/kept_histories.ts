import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import proto from '@temporalio/proto';
import type { World } from './world.ts';

const { History } = proto.temporal.api.history.v1;

/** Seals the histories in `test/histories`. Not a secret: what it seals are the fictional policies of the tests. */
export const HISTORY_KEYS = 'histories:cG9saWN5LXN5bmMtdGVzdC1oaXN0b3JpZXMta2V5LTE=';

/** A folder for each release, which changes no more, and `next` for what has come since. */
export const HISTORIES: string = fileURLToPath(new URL('./histories/', import.meta.url));
export const NEXT = 'next';

/** Histories longer than this are repetitions of shorter ones. */
const MOST_EVENTS = 150;

/**
 * With SAVE_HISTORIES=1, saves the history of every policy that a test opened, under the name of the test, as
 * protobuf (temporal.api.history.v1.History), in `next`: done when the workflow learns something new, so that later code is
 * held to replay it. A release gives the folder its name.
 */
export function keptHistories(world: () => World) {
  const lives: { name: string; number: string }[] = [];
  let current = '';
  return {
    named(context: { name: string }): void {
      current = context.name;
    },
    keep(number: string): void {
      lives.push({ name: current, number });
    },
    async save(): Promise<void> {
      if (process.env.SAVE_HISTORIES !== '1') return;
      await mkdir(`${HISTORIES}${NEXT}`, { recursive: true });
      for (const { name, number } of lives) await save(world(), name, number);
    },
  };
}

async function save({ temporal, mchid }: World, name: string, number: string): Promise<void> {
  const handle = temporal.workflow.getHandle(`policy/${mchid}/${number}`);
  const history = await handle.fetchHistory().catch(() => undefined);
  if (!history?.events || history.events.length > MOST_EVENTS) return;
  // The time-skipping server leaves the id out; replay needs it, for the workflow checks it.
  const started = history.events[0]?.workflowExecutionStartedEventAttributes;
  if (started) started.workflowId = handle.workflowId;
  const file = name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '')
    .slice(0, 80);
  await writeFile(`${HISTORIES}${NEXT}/${file}.binpb`, History.encode(history).finish());
}
