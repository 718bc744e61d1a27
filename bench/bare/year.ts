// The least that a policy's messages, timers and calls need of Temporal: the same events, none of our state or rules.
import { defineSearchAttributeKey } from '@temporalio/common';
import {
  ActivityCancellationType,
  CancellationScope,
  condition,
  isCancellation,
  proxyActivities,
  proxyLocalActivities,
  setHandler,
  sleep,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import { change, open } from './messages.ts';

interface Activities {
  claim(record: unknown): Promise<void>;
  /** A GET or a PATCH: what is sent, and what comes back. */
  call(sent: unknown): Promise<unknown>;
  /** Asks every week, and ends only when it is cancelled: an attempt that finds nothing costs no event. */
  verify(held: unknown): Promise<void>;
}

const { claim } = proxyLocalActivities<Activities>({ startToCloseTimeout: '10s' });
const options = { startToCloseTimeout: '20s', cancellationType: ActivityCancellationType.TRY_CANCEL } as const;
const { call, verify } = proxyActivities<Activities>(options);
const SYNC = defineSearchAttributeKey('PolicySync', 'KEYWORD');

/** @param opens in how many ms a time comes due that causes a call */
export async function year(record: unknown, opens: number): Promise<void> {
  const changes: unknown[] = [];
  let claimed = false;
  setHandler(open, async () => {
    await condition(() => claimed);
    // The time-skipping server fails at an update that is answered with nothing.
    return 1;
  });
  setHandler(change, (fields) => changes.push(fields));
  await claim(record);
  claimed = true;
  let held = await call('GET');
  sleep(opens).then(() => changes.push('opens'));
  for (;;) {
    show('SYNCED');
    const verification = new CancellationScope();
    const verified = verification
      .run(() => verify(held))
      .catch((error) => {
        if (!isCancellation(error)) throw error;
      });
    await condition(() => changes.length > 0);
    show('PENDING');
    verification.cancel();
    await verified;
    for (let sent = changes.shift(); sent !== undefined; sent = changes.shift()) held = await call(sent);
  }
}

function show(sync: string): void {
  upsertSearchAttributes([{ key: SYNC, value: sync }]);
}
