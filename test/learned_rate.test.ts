import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Limit } from '../sandbox/limit.ts';
import { LEAST_RATE, lowered, raised } from '../worker/learned_rate.ts';

const rates = fc.double({ min: LEAST_RATE, max: 500, noNaN: true });

describe('a rate that WeChat Pay throttles', () => {
  it('goes down by a tenth at least and by half at most, by how many calls were throttled, and never below the least', () => {
    fc.assert(
      fc.property(rates, fc.nat(500), fc.nat(500), (rate, taken, throttled) => {
        const to = lowered(rate, { calls: taken + throttled, throttled });
        assert.ok(
          to >= LEAST_RATE && to >= rate / 2 - 0.001 && to <= Math.max(LEAST_RATE, rate * 0.9) + 0.001,
          `${to}`,
        );
      }),
    );
    assert.equal(lowered(100, { calls: 100, throttled: 30 }), 70);
    // One that came alone tells nothing of the share.
    assert.equal(lowered(100, { calls: 1, throttled: 1 }), 90);
  });

  it('goes up with each quiet minute, faster from one to the next, and never above its setting', () => {
    fc.assert(
      fc.property(rates, rates, fc.integer({ min: 1, max: 100 }), (rate, setting, quiet) => {
        const to = raised(rate, setting, quiet);
        assert.ok(to <= setting && to >= Math.min(setting, rate) - 0.001, `${to}`);
        assert.ok(raised(rate, setting, quiet + 1) >= to);
      }),
    );
    assert.deepEqual([raised(100, 500, 1), raised(100, 500, 2), raised(100, 105, 2)], [105, 110, 105]);
  });

  it('finds within a minute what is taken, whatever that is: of the calls after it at most 1 in 100 is throttled, and 85 % is used', () => {
    const settings = fc.integer({ min: 5, max: 200 });
    fc.assert(
      fc.property(settings, fc.integer({ min: 10, max: 100 }), (setting, percent) => {
        const limit = Math.max(2, (setting * percent) / 100);
        const { calls, throttled } = simulated(setting, limit);
        assert.ok(throttled <= 0.01 * calls + 1, `${throttled} of ${calls}`);
        assert.ok((calls - throttled) / 240 >= 0.85 * Math.min(limit, setting), `${calls - throttled} at ${limit}`);
      }),
      { numRuns: 200 },
    );
  });
});

/** The second to fifth minute of a queue that always has calls waiting, evenly handed out. */
function simulated(setting: number, limit: number): { calls: number; throttled: number } {
  let now = 0;
  const wechatpay = new Limit(() => now);
  wechatpay.set({ requests_per_second: limit });
  const counted = { calls: 0, throttled: 0 };
  let [rate, since, quiet] = [setting, 0, 0];
  let seen = { calls: 0, throttled: 0 };
  const change = (to: number): void => {
    [rate, since, seen] = [to, now, { calls: 0, throttled: 0 }];
  };
  for (; now < 300_000; now += 1000 / rate) {
    const throttled = !isTaken(wechatpay);
    if (now >= 60_000) counted.calls++;
    if (now >= 60_000 && throttled) counted.throttled++;
    if (now - since >= 1_000 || since === 0) {
      seen.calls++;
      if (throttled) {
        seen.throttled++;
        quiet = 0;
        change(lowered(rate, seen));
      }
    }
    if (rate < setting && now - since >= 60_000) change(raised(rate, setting, ++quiet));
  }
  return counted;
}

function isTaken(limit: Limit): boolean {
  try {
    limit.take();
    return true;
  } catch {
    return false;
  }
}
