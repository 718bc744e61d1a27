// What a life is measured against: the same messages and activities, and nothing that they would be for.
import { condition, proxyActivities, setHandler } from '@temporalio/workflow';
import { approve, CALL_QUEUE, call, called, open } from './messages.ts';

export { year } from './year.ts';

interface Activities {
  record(): Promise<void>;
  call(): Promise<number>;
}

const { record } = proxyActivities<Activities>({ startToCloseTimeout: '10s' });
const { call: callOut } = proxyActivities<Activities>({ startToCloseTimeout: '20s', taskQueue: CALL_QUEUE });

/** Three activities, one after the other: 23 events. */
export async function three(): Promise<void> {
  await record();
  await callOut();
  await callOut();
}

/** Opened by an update, which is answered after an activity; no more follows. */
export async function opened(): Promise<void> {
  setHandler(open, () => record());
  await condition(() => false);
}

/** The messages of a life too: opened by an update, a call; approved by another, a call again. It goes on for ever. */
export async function life(): Promise<void> {
  let [opened, wanted, made, last] = [false, 0, 0, 0];
  setHandler(open, async () => {
    await record();
    opened = true;
    wanted++;
  });
  setHandler(approve, async () => {
    const call = ++wanted;
    await condition(() => made >= call);
  });
  setHandler(call, () => {
    wanted++;
  });
  setHandler(called, () => last);
  await condition(() => opened);
  for (;;) {
    await condition(() => wanted > made);
    last = await callOut();
    made++;
  }
}
