import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Limit } from '../sandbox/limit.ts';
import { isTold, isTolerated, LEAST_RATE, lowered, raised, withCall } from '../worker/learned_rate.ts';

const rates = fc.double({ min: LEAST_RATE, max: 500, noNaN: true });

describe('a rate that WeChat Pay throttles', () => {
  it('goes down by a twentieth at least and by half at most, by how many calls were throttled, and never below what is taken', () => {
    fc.assert(
      fc.property(rates, fc.nat(500), fc.nat(500), fc.nat(300), (rate, passed, throttled, taken) => {
        const to = lowered(rate, { calls: passed + throttled, throttled }, taken);
        const least = Math.min(rate, Math.max(LEAST_RATE, 0.7 * taken));
        assert.ok(to >= least - 0.001 && to >= rate / 2 - 0.001 && to <= Math.max(least, rate * 0.95) + 0.001, `${to}`);
      }),
    );
    assert.equal(lowered(100, { calls: 100, throttled: 40 }, 0), 70);
    // One that came alone tells nothing of the share.
    assert.equal(lowered(100, { calls: 1, throttled: 1 }, 0), 95);
    assert.equal(lowered(100, { calls: 100, throttled: 60 }, 90), 63);
  });

  it('stays where one call in a hundred is throttled, for another reason may be why', () => {
    let seen = { calls: 0, throttled: 0 };
    for (let n = 0; n < 1000; n++) {
      seen = withCall(seen, n % 150 === 149);
      if (n % 150 === 149) assert.ok(isTolerated(seen), JSON.stringify(seen));
    }
    for (let n = 0; n < 3; n++) seen = withCall(seen, true);
    assert.equal(isTolerated(seen), false);
    assert.equal(isTolerated(withCall({ calls: 0, throttled: 0 }, true)), false);
  });

  it('goes up with each quiet minute, faster from one to the next, and never above its setting', () => {
    fc.assert(
      fc.property(rates, rates, fc.integer({ min: 1, max: 100 }), (rate, setting, quiet) => {
        const to = raised(rate, setting, quiet);
        assert.ok(to <= setting && to >= Math.min(setting, rate) - 0.001, `${to}`);
        assert.ok(raised(rate, setting, quiet + 1) >= to);
      }),
    );
    assert.deepEqual([raised(100, 500, 1), raised(100, 500, 2), raised(100, 105, 2)], [105, 115, 105]);
  });

  it('finds within a minute what is taken, whatever that is, though calls come by fits and starts: hardly any is throttled after it, and most of the rate is used', () => {
    // Slower ones are found, too, but a minute has too few calls to count a hundredth of them.
    const settings = fc.integer({ min: 20, max: 200 });
    fc.assert(
      fc.property(settings, fc.integer({ min: 10, max: 100 }), fc.integer(), (setting, percent, seed) => {
        const limit = Math.max(12, (setting * percent) / 100);
        const { calls, throttled } = simulated(setting, limit, random(seed));
        assert.ok(throttled <= 0.02 * calls + 2, `${throttled} of ${calls} at ${limit} of ${setting}`);
        const used = (calls - throttled) / WATCHED_S / Math.min(limit, setting);
        assert.ok(used >= 0.75, `${used} at ${limit} of ${setting}`);
      }),
      { numRuns: 300 },
    );
  });
});

const WATCHED_S = 240;

/** The second to fifth minute of a queue that always has calls waiting, handed out by fits and starts to two workers. */
function simulated(setting: number, limit: number, chance: () => number): { calls: number; throttled: number } {
  let now = 0;
  const wechatpay = new Limit(() => now);
  wechatpay.set({ requests_per_second: limit });
  const counted = { calls: 0, throttled: 0 };
  const nothing = { calls: 0, throttled: 0 };
  let [rate, since, quiet] = [setting, Number.NEGATIVE_INFINITY, 0];
  let seen = [nothing, nothing];
  const change = (to: number): void => {
    [rate, since, seen] = [to, now, [nothing, nothing]];
  };
  for (; now < 60_000 + WATCHED_S * 1000; now += (2 * chance() * 1000) / rate) {
    const throttled = !isTaken(wechatpay);
    if (now >= 60_000) counted.calls++;
    if (now >= 60_000 && throttled) counted.throttled++;
    if (now - since >= 1_000) {
      const worker = chance() < 0.5 ? 0 : 1;
      const own = withCall(seen[worker] ?? nothing, throttled);
      seen[worker] = own;
      if (throttled && !isTolerated(own) && isTold(own, now - since)) {
        quiet = 0;
        change(lowered(rate, own, 0));
      }
    }
    if (rate < setting && now - since >= 60_000) change(raised(rate, setting, ++quiet));
  }
  return counted;
}

/** Numbers in [0, 1), the same for a seed (mulberry32). */
function random(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function isTaken(limit: Limit): boolean {
  try {
    limit.take();
    return true;
  } catch {
    return false;
  }
}
