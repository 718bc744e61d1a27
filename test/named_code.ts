import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';

const root = new URL('../', import.meta.url);

/** Text of a source file; fails where there is none. */
export function sourceOf(file: string): Promise<string> {
  return readFile(new URL(file, root), 'utf8');
}

/** What a page's sentence or cell says of files: `file.ts`: `name`, `name`. */
export function codeNamedIn(text: string): { file: string; names: string[] }[] {
  const found = text.matchAll(/`([\w/]+\.ts)`: ((?:`[^`]+`(?:, )?)+)/g);
  return [...found].map(([, file = '', names = '']) => ({
    file,
    names: [...names.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name),
  }));
}

/** Fails where the file defines no function, method, constant or type of that name. */
export async function assertDefined(file: string, name: string): Promise<void> {
  const defined = new RegExp(
    `^(?:export )?(?:  )?(?:async )?(?:function\\*? |get |const |class |interface |type )?${name}\\b(?:[(<:]| = | \\{| extends )`,
    'm',
  );
  assert.match(await sourceOf(file), defined, `${file}: ${name}`);
}
