import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { APPROVED, INACTIVE } from '../policy/state.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import { startWorld } from './world.ts';

describe('callers of verify at a merchant whose rate is low', () => {
  it('keep no surrender from leaving, however often they ask: who was answered goes behind it', async (t) => {
    const slow = await startWorld({ requestsPerSecond: 2 });
    t.after(() => slow.close());
    await slow.startWorkers();
    const out_insurance_no = uniqueNumber('V');
    const policy = { mchid: slow.mchid, out_insurance_no };
    const record = recordOf({ out_insurance_no, policy_state: APPROVED }, { mchid: slow.mchid });
    await slow.put({ ...record.policy });
    await slow.client.openPolicy(record);
    await slow.until(out_insurance_no, ({ sync }) => sync === 'SYNCED');
    let isOver = false;
    const ask = async (): Promise<void> => {
      while (!isOver) await slow.client.verify(policy).catch(() => delay(20));
    };
    const asking = [ask(), ask()];
    await delay(1_000);
    await slow.client.cancel(policy);
    const left = slow.until(out_insurance_no, ({ state, sync }) => state === 'INACTIVE' && sync === 'SYNCED', 20_000);
    await left.finally(() => {
      isOver = true;
    });
    await Promise.all(asking);
    assert.equal((await slow.held(out_insurance_no))?.policy_state, INACTIVE);
    await slow.replay(out_insurance_no);
  });
});
