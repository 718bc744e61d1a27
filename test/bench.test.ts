// What the benches make of their figures; the figures themselves are made by `npm run bench`.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Figure, isReached } from '../bench/bench.ts';
import { callAll } from '../bench/callers.ts';
import { peakOverMean } from '../bench/figures.ts';
import { fallen, keptRatios } from '../bench/ratios.ts';
import { type Found, inDocument } from '../bench/table.ts';

const figure = (name: string, value: number, limit?: Figure['limit']): Figure => ({
  ...{ name, what: 'lives | a second', value, unit: '×', from: '1 against 2' },
  ...(limit && { limit }),
});

function found(...figures: Figure[]): Found[] {
  return [{ bench: { name: 'life', about: 'lives' }, findings: { figures }, seconds: 1 }];
}

describe('the ratios of the benches', () => {
  const least = { least: 0.6 };
  const most = { most: 1.2 };

  it('fall where they are worse by more than a third, whichever way is worse', () => {
    const kept = { 'life/lives': 0.6, 'life/start': 1.2 };
    assert.deepEqual(fallen(found(figure('lives', 0.41, least), figure('start', 1.79, most)), kept), []);
    assert.deepEqual(fallen(found(figure('lives', 0.39, least), figure('start', 1.81, most)), kept), [
      'life/lives: was 0.6, is 0.39',
      'life/start: was 1.2, is 1.81',
    ]);
  });

  it('fall where they were not measured, or came out as no number', () => {
    assert.equal(fallen([], { 'life/lives': 0.6 }).length, 1);
    assert.equal(fallen(found(figure('lives', Number.NaN, least)), { 'life/lives': 0.6 }).length, 1);
    assert.equal(fallen(found(figure('start', -1, most)), { 'life/start': 1.2 }).length, 1);
  });

  it('that are kept can be read', async () => {
    assert.ok(Object.keys(await keptRatios()).length > 0);
  });

  it('are reached at their limit, and never by what is no number', () => {
    assert.ok(isReached(figure('lives', 0.6, least)) && isReached(figure('start', 1.2, most)));
    assert.ok(!isReached(figure('lives', Number.NaN, least)) && !isReached(figure('start', Number.NaN, most)));
  });
});

describe('the table of the benches', () => {
  it('takes the place of the last one, and of nothing else', () => {
    const before = 'Before.\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nAfter.\n';
    const after = inDocument(before, found(figure('lives', 0.5, { least: 0.6 })), 'A machine.');
    assert.match(after, /^Before\.\n<!-- bench: begin -->\n\nA machine\.\n/);
    assert.match(
      after,
      /\| life \| lives \\\| a second \| 0\.5× \| ≥ 0\.6× \| no \| 1 against 2 \|\n\n<!-- bench: end -->\nAfter\.\n$/,
    );
    assert.ok(!after.includes('old'));
    assert.equal(inDocument(after, found(figure('lives', 0.5, { least: 0.6 })), 'A machine.'), after);
  });
});

describe('what the benches count with', () => {
  it('the fullest part of what is even is its mean, of what is not, more', () => {
    const even = Array.from({ length: 1_001 }, (_, n) => n);
    const { peak, mean } = peakOverMean(even, 10);
    assert.ok(peak / mean < 1.02, `${peak / mean}`);
    const uneven = peakOverMean([...even, ...even.map((n) => n / 10)], 10);
    assert.ok(uneven.peak / uneven.mean > 4, `${uneven.peak / uneven.mean}`);
  });

  it('callers do every one once, so many at a time', async () => {
    const done: (number | undefined)[] = [];
    let [now, most] = [0, 0];
    const { each_ms } = await callAll([1, undefined, 3, 4, 5], 2, async (one) => {
      most = Math.max(most, ++now);
      await new Promise((resolve) => setImmediate(resolve));
      done.push(one);
      now--;
    });
    assert.deepEqual([done.length, each_ms.length, most], [5, 5, 2]);
  });
});
