import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const folder = mkdtempSync(join(tmpdir(), 'run-files-'));
after(() => rmSync(folder, { recursive: true }));

const runner = fileURLToPath(new URL('run_files.ts', import.meta.url));

/** The exit code of a file with one test that is skipped for this reason, and what was said. */
function runOf(kind: 'it' | 'describe', reason: string, env: NodeJS.ProcessEnv, ...words: string[]) {
  const file = join(folder, 'skips.test.mjs');
  const body = `import { describe, it } from 'node:test';\nit('is good', () => {});\n`;
  writeFileSync(file, `${body}${kind}('needs it', { skip: ${JSON.stringify(reason)} }, () => {});\n`);
  // A runner within a runner tells its parent, not us, unless the parent's mark is taken off.
  const { NODE_TEST_CONTEXT: _parent, REQUIRE_ALL: _ours, ...rest } = process.env;
  const args = ['--import', 'tsx', runner, ...words, file];
  const { status, stderr } = spawnSync(process.execPath, args, { env: { ...rest, ...env }, encoding: 'utf8' });
  return { status, stderr };
}

describe('REQUIRE_ALL=1', () => {
  for (const kind of ['it', 'describe'] as const)
    it(`fails where ${kind} is skipped for want of a program, and names it`, () => {
      assert.equal(runOf(kind, 'there is no mvn', {}).status, 0);
      const { status, stderr } = runOf(kind, 'there is no mvn', { REQUIRE_ALL: '1' });
      assert.equal(status, 1);
      assert.match(stderr, /^REQUIRE_ALL=1: skips\.test\.mjs: needs it: skipped: there is no mvn$/m);
    });

  it('lets be skipped what is for another kind of machine, or left out by a pattern', () => {
    assert.equal(runOf('it', 'only root has such folders', { REQUIRE_ALL: '1' }).status, 0);
    assert.equal(runOf('it', 'there is no mvn', { REQUIRE_ALL: '1' }, '--test-name-pattern=good').status, 0);
  });
});
