import { setTimeout as delay } from 'node:timers/promises';
import { APPROVED } from '../policy/state.ts';
import type { Say } from './bench.ts';
import { callAll } from './callers.ts';
import { policyOf, putAll } from './policies.ts';
import { queueOf } from './queue.ts';
import type { Stage } from './stage.ts';

/** As short as a record may say: what was verified waits again at once. */
const EVERY = '1s';
const OPENERS = 24;
const LOOK_MS = 5_000;
/** The workers look every 2 s at which merchants they serve. */
const LOOKED_MS = 6_000;

/**
 * Has verifications of so many policies wait in the merchant's queue, more than its rate lets through. Opens the policies
 * first and serves their calls then, so that neither is slowed by the other.
 */
export async function fillQueue(stage: Stage, numbers: readonly string[], say: Say): Promise<void> {
  const { mchid, client } = stage;
  await stage.serve(false);
  await delay(LOOKED_MS);
  const policies = numbers.map((number) => policyOf(number, { policy_state: APPROVED, policy_code: `C${number}` }));
  await putAll(stage, policies);
  let opened = 0;
  const look = setInterval(() => say(`${opened} of ${numbers.length} policies are open`), 4 * LOOK_MS);
  try {
    await callAll(policies, OPENERS, async (policy) => {
      await client.openPolicy({ mchid, policy, verification: { every: EVERY } });
      opened++;
    });
  } finally {
    clearInterval(look);
  }
  const already = (await stage.requests()).length;
  await stage.serve(true);
  // One call confirms a policy, and the first attempt of its verification sends none.
  for (let calls = 0; calls <= numbers.length; await delay(LOOK_MS)) {
    calls = (await stage.requests(already)).length;
    say(`${calls} calls were made, ${(await queueOf(stage)).waiting} wait`);
  }
}
