import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse } from 'csv-parse';
import { csvTable } from '../command/csv_table.ts';

let directory: string;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'policy-sync-csv-'));
});
after(() => rm(directory, { recursive: true, force: true }));

const ROWS = 20_000;
const TEXT = 'x'.repeat(100);

describe('a table of comma-separated values', () => {
  it('is written no faster than it is read, and loses nothing', { timeout: 60_000 }, async () => {
    const path = join(directory, 'slow');
    execFileSync('mkfifo', [path]);
    const table = csvTable(path, ['n', 'text']);
    let written = 0;
    const writing = (async () => {
      for (let n = 0; n < ROWS; n++) {
        await table.write({ n, text: TEXT });
        written++;
      }
      await table.end();
    })();
    const read = createReadStream(path);
    await once(read, 'open');
    // Whatever the buffers of both hold, and the pipe's, it is far from all.
    await once(read, 'readable');
    assert.ok(written < ROWS / 4, `${written}`);
    let rows = 0;
    for await (const { n, text } of read.pipe(parse({ columns: true }))) {
      assert.deepEqual([Number(n), text], [rows, TEXT]);
      rows++;
    }
    await writing;
    assert.equal(rows, ROWS);
  });

  it('is for its owner alone, says in one line where it cannot be written, and escapes what would be a formula', async () => {
    const path = join(directory, 'table.csv');
    const table = csvTable(path, ['a']);
    await table.write({ a: '=1+1' });
    await table.end();
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    const rows = await createReadStream(path)
      .pipe(parse({ columns: true }))
      .toArray();
    assert.deepEqual(rows, [{ a: "'=1+1" }]);
    const nowhere = csvTable(join(directory, 'nowhere', 'table.csv'), ['a']);
    await assert.rejects(async () => {
      for (;;) await nowhere.write({ a: TEXT });
    }, /ENOENT|destroyed|write after/);
    await assert.rejects(nowhere.end(), /ENOENT/);
  });
});
