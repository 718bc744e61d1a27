import type { Client } from '@temporalio/client';
import type { Storage } from '../storage/connection.ts';
import { StorageError } from '../storage/errors.ts';
import { pause } from './pause.ts';

/** Who asks for metrics does not wait longer for a server. */
const ANSWER_MS = 2_000;

/** Which of the servers answer this worker now. */
export async function upOf(temporal: Client, storage: Storage): Promise<Record<'temporal' | 'mongodb', boolean>> {
  const asked = temporal.withDeadline(Date.now() + ANSWER_MS, () => temporal.workflowService.getSystemInfo({}));
  const [isTemporal, isMongo] = await Promise.all([
    answers(asked, () => true),
    answers(storage.clock(), (error) => error instanceof StorageError),
  ]);
  return { temporal: isTemporal, mongodb: isMongo };
}

async function answers(asked: Promise<unknown>, isSilence: (error: unknown) => boolean): Promise<boolean> {
  const answered = asked.then(
    () => true,
    (error) => {
      if (!isSilence(error)) throw error;
      return false;
    },
  );
  return (await inTime(answered)) ?? false;
}

/** What came of it in 2 s: while it goes on, the other metrics do not wait for it. */
export async function inTime<T>(work: Promise<T>): Promise<T | undefined> {
  const enough = new AbortController();
  const late = pause(ANSWER_MS, enough.signal).then(() => undefined);
  return Promise.race([work, late]).finally(() => enough.abort());
}
