import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { RULES } from '../policy/rules.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

async function sourceOf(rooms: readonly string[]): Promise<string> {
  const texts: string[] = [];
  for (const room of rooms)
    for (const file of await readdir(join(root, room), { recursive: true }))
      if (file.endsWith('.ts') && file !== 'rules.ts') texts.push(await readFile(join(root, room, file), 'utf8'));
  return texts.join('\n');
}

describe('the list of rules', () => {
  it('has every rule that a schema or a check of the code names', async () => {
    const source = await sourceOf(['policy', 'workflows', 'client']);
    const named = [...source.matchAll(/(?:\brule: |\brefuse\(\s*)'([\w-]+)'/g)].map(([, rule]) => rule ?? '');
    assert.ok(named.length > 20, `only ${named.length} rules found`);
    assert.deepEqual(
      named.filter((rule) => !Object.hasOwn(RULES, rule)),
      [],
    );
  });

  it('is told in words of ours wherever a schema meets what comes from outside', async () => {
    const source = await sourceOf([
      'policy',
      'workflows',
      'client',
      'command',
      'worker',
      'wechatpay',
      'sandbox',
      'codec',
      'gateway',
    ]);
    const parses = source.split('\n').filter((line) => line.includes('.safeParse('));
    // Where only the success is asked for, nothing is told.
    const told = parses.filter((line) => !/\.success\b/.test(line) && !/\bconst theirs = /.test(line));
    assert.ok(told.length >= 7, told.join('\n'));
    assert.deepEqual(
      told.filter((line) => !line.includes('OWN_WORDS')),
      [],
    );
  });

  it('has no rule that the code does not name', async () => {
    const source = await sourceOf(['policy', 'workflows', 'client']);
    assert.deepEqual(
      Object.keys(RULES).filter((rule) => !source.includes(`'${rule}'`)),
      [],
    );
  });
});
