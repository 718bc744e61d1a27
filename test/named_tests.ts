import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

/** A cell as `file`: "title", "title"; `file`: "title". */
const CELL = /`(\w+)`: ((?:"[^"]+"(?:, )?)+)/g;

const CELL_ONCE = new RegExp(CELL.source);

/** Of a title in a test file: what is put in from a table of cases is not known here. */
const open = (title: string): string => title.replace(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, '…').replaceAll("\\'", "'");

/** A test file, and files that it imports and that are called after it: `faults_answers_lives.ts`. */
async function readWithParts(name: string, file: string): Promise<string> {
  const text = await readFile(new URL(name, import.meta.url), 'utf8');
  const parts = [...text.matchAll(/ from '\.\/(\w+\.ts)';/g)].map(([, part = '']) => part);
  const own = parts.filter((part) => part.startsWith(`${file}_`));
  return [text, ...(await Promise.all(own.map((part) => readFile(new URL(part, import.meta.url), 'utf8'))))].join('\n');
}

async function titlesIn(file: string): Promise<Set<string>> {
  const [name] = [`${file}.test.ts`, `${file}.long.test.ts`].filter((one) => existsSync(new URL(one, import.meta.url)));
  assert.ok(name, `test/ has no ${file}.test.ts`);
  const text = await readWithParts(name, file);
  const found = text.matchAll(/(?:\b(?:it|test)\(|\bname:)\s*(?:'((?:[^'\\\n]|\\.)+)'|"([^"\n]+)"|`([^`\n]+)`)/g);
  return new Set([...found].map(([, single, double, template]) => open(single ?? double ?? template ?? '')));
}

/** The rows of a page's tables, without their heads, of which `head` is the first cell. */
export async function rowsOf(page: string, head: string): Promise<string[]> {
  const text = await readFile(new URL(`../docs/${page}`, import.meta.url), 'utf8');
  return text.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith(`| ${head} |`));
}

/** Fails for a row whose last cell names no test. */
export function assertNamesTests(row: string): void {
  assert.match(row.split('|').at(-2) ?? '', CELL_ONCE);
}

/** Fails for a row that names a test by a title that no test of that file has. */
export async function assertNamedTestsExist(row: string): Promise<void> {
  for (const [, file = '', titles = ''] of row.matchAll(CELL)) {
    const known = await titlesIn(file);
    for (const [, title = ''] of titles.matchAll(/"([^"]+)"/g))
      assert.ok(known.has(title), `test/${file}.test.ts has no test "${title}"`);
  }
}
