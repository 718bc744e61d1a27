import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';

const root = new URL('../', import.meta.url);
const page = await readFile(new URL('docs/design.md', root), 'utf8');

/** Names that a sentence says of a file: `file.ts`: `name`, or `name` … */
const STEP = /`([\w/]+\.ts)`: `(\w+)`/g;

describe('docs/design.md', () => {
  it('leads along the three paths by files and functions that there are', async () => {
    const [, paths = ''] = /^## Three paths[^\n]*\n([\s\S]*?)^## /m.exec(page) ?? [];
    const steps = [...paths.matchAll(STEP)].map(([, file = '', name = '']) => [file, name] as const);
    assert.ok(steps.length >= 25, `${steps.length} steps`);
    for (const [file, name] of steps) {
      const text = await readFile(new URL(file, root), 'utf8');
      assert.match(
        text,
        new RegExp(`^(?:export )?(?:  )?(?:async )?(?:function )?(?:get )?${name}[(<]`, 'm'),
        `${file}: ${name}`,
      );
    }
  });

  it('says what each of its words means, once', () => {
    const [, words = ''] = /^## Words\n([\s\S]*?)^## /m.exec(page) ?? [];
    const named = [...words.matchAll(/^\| (\w[\w ]*) \| /gm)].map(([, word]) => word).slice(1);
    assert.equal(named.length, 12);
    assert.equal(new Set(named).size, named.length);
  });
});
