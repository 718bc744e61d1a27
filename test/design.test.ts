import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { assertDefined, codeNamedIn, sourceOf } from './named_code.ts';

const page = await sourceOf('docs/design.md');

describe('docs/design.md', () => {
  it('leads along the three paths by files and functions that there are', async () => {
    const [, paths = ''] = /^## Three paths[^\n]*\n([\s\S]*?)^## /m.exec(page) ?? [];
    const steps = codeNamedIn(paths);
    assert.ok(steps.length >= 25, `${steps.length} steps`);
    for (const { file, names } of steps) for (const name of names) await assertDefined(file, name);
  });

  it('says what each of its words means, once', () => {
    const [, words = ''] = /^## Words\n([\s\S]*?)^## /m.exec(page) ?? [];
    const named = [...words.matchAll(/^\| (\w[\w ]*) \| /gm)].map(([, word]) => word).slice(1);
    assert.equal(named.length, 12);
    assert.equal(new Set(named).size, named.length);
  });
});

describe('the sources', () => {
  it('have no file of more than 300 lines', async () => {
    const root = new URL('../', import.meta.url);
    const folders = (await readdir(root, { withFileTypes: true })).filter(
      (entry) => entry.isDirectory() && !/^(node_modules|dist|out)$|^\./.test(entry.name),
    );
    const long: string[] = [];
    for (const { name: folder } of folders)
      for (const name of await readdir(new URL(folder, root), { recursive: true })) {
        if (!/\.(m?ts|mjs)$/.test(name) || name.includes('node_modules/')) continue;
        const lines = (await readFile(new URL(`${folder}/${name}`, root), 'utf8')).split('\n').length - 1;
        if (lines > 300) long.push(`${folder}/${name}: ${lines}`);
      }
    assert.deepEqual(long, []);
  });
});

describe('CONTRIBUTING.md', () => {
  it('says of ten rules and more in which file and function they are, as they are there', async () => {
    const [, table = ''] = /^## Where is the rule\?\n([\s\S]*?)^## /m.exec(await sourceOf('CONTRIBUTING.md')) ?? [];
    const rows = table.split('\n').filter((line) => /^\| [A-Z]/.test(line));
    assert.ok(rows.length >= 10, `${rows.length}`);
    for (const row of rows) {
      const named = codeNamedIn(row);
      assert.ok(named.length > 0, row);
      for (const { file, names } of named) for (const name of names) await assertDefined(file, name);
    }
  });
});
