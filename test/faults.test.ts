import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertNamedTestsExist, assertNamesTests, rowsOf } from './named_tests.ts';

describe('docs/faults.md', () => {
  it('names a test for every fault', async () => {
    const rows = await rowsOf('faults.md', 'fault');
    assert.ok(rows.length >= 40, `${rows.length} rows`);
    for (const row of rows) assertNamesTests(row);
  });

  it('names tests by the titles that they have', async () => {
    for (const row of await rowsOf('faults.md', 'fault')) await assertNamedTestsExist(row);
  });
});
