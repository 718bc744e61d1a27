import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertNamedTestsExist, assertNamesTests, rowsOf } from './named_tests.ts';

describe('docs/threats.md', () => {
  it('names a test for every threat', async () => {
    const rows = await rowsOf('threats.md', 'threat');
    assert.ok(rows.length >= 25, `${rows.length} rows`);
    for (const row of rows) assertNamesTests(row);
  });

  it('names tests by the titles that they have', async () => {
    for (const row of await rowsOf('threats.md', 'threat')) await assertNamedTestsExist(row);
  });
});
