import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { cacheSize } from '../worker/cache_size.ts';

const GB = 1024 ** 3;

test('a worker keeps as many policies at hand as the least of its memory limits has room for', () => {
  const one = cacheSize([16 * GB, GB, 4 * GB]);
  assert.ok(one > 300 && one < 700, `${one} in 1 GB`);
  assert.equal(cacheSize([GB, 16 * GB, 4 * GB]), one);
  assert.equal(cacheSize([GB, 0, undefined]), one, 'no limit is none');
  assert.ok(cacheSize([2 * GB]) > 2 * one);
});

test('it keeps some in little memory, and not more in much than pays', () => {
  assert.equal(cacheSize([GB / 8]), 50);
  assert.equal(cacheSize([1024 * GB]), 5_000);
});

test("Node's heap limit counts", () => {
  const script = "import { cacheSize } from './worker/cache_size.ts'; console.log(cacheSize());";
  const run = (mb: number) =>
    Number(
      execFileSync(
        process.execPath,
        [`--max-old-space-size=${mb}`, '--import', 'tsx', '--input-type=module', '-e', script],
        {
          encoding: 'utf8',
        },
      ),
    );
  assert.ok(run(1024) < 700);
  assert.ok(run(1024) > run(600));
});
