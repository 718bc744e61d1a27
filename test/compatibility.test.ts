import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertDefined, codeNamedIn, sourceOf } from './named_code.ts';

const page = await sourceOf('docs/compatibility.md');
const rows = page.split('\n').filter((line) => /^\| (?!what )[^-]/.test(line));
const definitions = rows.map((row) => row.split(' | ')[1] ?? '');

/** Rooms whose code or data outlives a release. */
const ROOMS = ['activities', 'client', 'codec', 'policy', 'storage', 'worker', 'workflows'];

async function sources(): Promise<{ file: string; text: string }[]> {
  const found: { file: string; text: string }[] = [];
  for (const room of ROOMS)
    for (const name of await readdir(new URL(`../${room}`, import.meta.url), { recursive: true }))
      if (name.endsWith('.ts')) found.push({ file: `${room}/${name}`, text: await sourceOf(`${room}/${name}`) });
  return found;
}

describe('docs/compatibility.md', () => {
  it('says of each format, name and patch where it is defined, as it is there', async () => {
    assert.ok(rows.length >= 25, `${rows.length} rows`);
    for (const [at, cell] of definitions.entries()) {
      const named = codeNamedIn(cell);
      assert.ok(named.length > 0, rows[at]);
      for (const { file, names } of named)
        for (const name of names) {
          if (/^\w+$/.test(name)) await assertDefined(file, name);
          else assert.ok((await sourceOf(file)).includes(name), `${file}: ${name}`);
        }
    }
  });

  it('says since when each is, who reads it, and how it changes', () => {
    for (const row of rows) {
      const cells = row.split('|').slice(1, -1);
      assert.equal(cells.length, 5, row);
      for (const cell of cells) assert.ok(cell.trim().length > 0, row);
    }
  });

  it('leaves out no number of a format, no patch and no collection', async () => {
    const listed = definitions.join('\n');
    for (const { file, text } of await sources()) {
      for (const [whole] of text.matchAll(
        /\b(?:FORMAT|VERSION)\b = \d+|= '[\w-]+:v\d+:'|\bpatched\((?:'[^']+'|\w+\()/g,
      ))
        assert.ok(listed.includes(`\`${file}\`: `) && listed.includes(whole), `${file}: ${whole}`);
      for (const [, name] of text.matchAll(/\.collection<\w+>\('(\w+)'\)/g))
        assert.match(page, new RegExp(`, in \`${name}\` \\|`), `${file}: ${name}`);
    }
  });
});
