import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { brokenLinks } from '../packaging/links.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

describe('relative links of the Markdown in the package', () => {
  it('lead to what is in it', async () => {
    const told = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root, encoding: 'utf8' });
    const [{ files }] = JSON.parse(told.stdout) as [{ files: { path: string }[] }];
    const paths = files.map(({ path }) => path);
    assert.ok(paths.includes('README.md') && paths.includes('examples/README.md'), told.stderr);
    assert.deepEqual(
      paths.filter((path) => /node_modules|\/target\/|__pycache__/.test(path)),
      [],
    );
    assert.deepEqual(await brokenLinks(root, paths), []);
  });

  it('are found wherever they stand, but for code', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'links-'));
    const text = [
      '[a](there.md#anchor), [b](gone.md), [folder](docs/), [web](https://example.com/x), [here](#anchor)',
      '![p](docs/gone.png "title") <img src="docs/lost.svg"> `[c](code.md)`',
      '```\n[d](block.md)\n```',
    ];
    writeFileSync(join(folder, 'it.md'), text.join('\n'));
    writeFileSync(join(folder, 'there.md'), '');
    assert.deepEqual(await brokenLinks(folder, ['it.md', 'there.md', 'docs/one.txt']), [
      'it.md: gone.md',
      'it.md: docs/gone.png',
      'it.md: docs/lost.svg',
    ]);
    rmSync(folder, { recursive: true });
  });
});
