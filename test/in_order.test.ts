import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { inOrder } from '../command/in_order.ts';

describe('work on many items', () => {
  it('is done for so many at once and no more, gives its results in their order, and goes on past what fails', async () => {
    const turns = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(turns, fc.integer({ min: 1, max: 8 }), async (items, atOnce) => {
        let [running, most] = [0, 0];
        const work = async (turns: number): Promise<number> => {
          most = Math.max(most, ++running);
          for (let turn = 0; turn < turns; turn++) await setImmediate();
          running--;
          if (turns === 3) throw new Error('three');
          return turns * 10;
        };
        const seen: unknown[] = [];
        for await (const { item, result } of inOrder(items, atOnce, work))
          seen.push([item, result.status === 'fulfilled' ? result.value : result.reason.message]);
        assert.deepEqual(
          seen,
          items.map((turns) => [turns, turns === 3 ? 'three' : turns * 10]),
        );
        assert.equal(most, Math.min(items.length, atOnce));
      }),
    );
  });
});
