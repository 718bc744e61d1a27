import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';

/** A cell as `file`: "title", "title"; `file`: "title". */
const CELL = /`(\w+)`: ((?:"[^"]+"(?:, )?)+)/g;

const CELL_ONCE = new RegExp(CELL.source);

/** Of a title in a test file: what is put in from a table of cases is not known here. */
const open = (title: string): string => title.replace(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, '…').replaceAll("\\'", "'");

async function titlesIn(file: string): Promise<Set<string>> {
  const text = await readFile(new URL(`./${file}.test.ts`, import.meta.url), 'utf8');
  const found = text.matchAll(/(?:\bit\(|\bname:)\s*(?:'((?:[^'\\\n]|\\.)+)'|"([^"\n]+)"|`([^`\n]+)`)/g);
  return new Set([...found].map(([, single, double, template]) => open(single ?? double ?? template ?? '')));
}

async function rows(): Promise<string[]> {
  const page = await readFile(new URL('../docs/faults.md', import.meta.url), 'utf8');
  return page.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| fault |'));
}

describe('docs/faults.md', () => {
  it('names a test for every fault', async () => {
    const all = await rows();
    assert.ok(all.length >= 40, `${all.length} rows`);
    for (const row of all) assert.match(row, CELL_ONCE);
  });

  it('names tests by the titles that they have', async () => {
    for (const row of await rows())
      for (const [, file = '', titles = ''] of row.matchAll(CELL)) {
        const known = await titlesIn(file);
        for (const [, title = ''] of titles.matchAll(/"([^"]+)"/g))
          assert.ok(known.has(title), `test/${file}.test.ts has no test "${title}"`);
      }
  });
});
