import { condition, defineQuery, defineSignal, defineUpdate, proxyActivities, setHandler } from '@temporalio/workflow';
import { isUnfit } from '../codec/payload_converter.ts';

export interface Activities {
  greet(name: string): Promise<string>;
  fail(name: string): Promise<never>;
}

export const add = defineSignal<[string]>('add');
export const set = defineUpdate<string[], [string]>('set');
export const seen = defineQuery<string[]>('seen');

const { greet, fail } = proxyActivities<Activities>({ startToCloseTimeout: '5s', retry: { maximumAttempts: 1 } });

/** Notes what each message brought, `PLAIN` for one in the clear; ends by the signal `end`, with a failure that quotes it. */
export async function notes(first?: string): Promise<void> {
  const notes: string[] = [];
  let ended: string | undefined;
  const note = (value: unknown): void => {
    notes.push(isUnfit(value) ? 'PLAIN' : String(value));
  };
  setHandler(add, note);
  setHandler(seen, () => notes);
  setHandler(set, (value) => {
    note(value);
    return notes;
  });
  setHandler(defineSignal<[string]>('end'), (name) => {
    ended = name;
  });
  note(first);
  note(await greet(isUnfit(first) ? '' : String(first)));
  await condition(() => ended !== undefined);
  await fail(ended ?? '');
}
