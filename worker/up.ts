import type { Client } from '@temporalio/client';
import type { Storage } from '../storage/connection.ts';
import { StorageError } from '../storage/errors.ts';

/** Who asks for metrics does not wait longer for a server. */
export const ANSWER_MS = 2_000;

/** Which of the servers answer this worker now. */
export async function upOf(temporal: Client, storage: Storage): Promise<Record<'temporal' | 'mongodb', boolean>> {
  const [isTemporal, isMongo] = await Promise.all([
    answers(
      temporal.withDeadline(Date.now() + ANSWER_MS, () => temporal.workflowService.getSystemInfo({})),
      () => true,
    ),
    answers(storage.clock(), (error) => error instanceof StorageError),
  ]);
  return { temporal: isTemporal, mongodb: isMongo };
}

async function answers(asked: Promise<unknown>, isSilence: (error: unknown) => boolean): Promise<boolean> {
  try {
    await asked;
    return true;
  } catch (error) {
    if (!isSilence(error)) throw error;
    return false;
  }
}
