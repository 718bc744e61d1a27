import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';

/** A cell as `file`: "title", "title"; `file`: "title". */
const CELL = /`(\w+)`: ((?:"[^"]+"(?:, )?)+)/g;

const CELL_ONCE = new RegExp(CELL.source);

/** Of a title in a test file: what is put in from a table of cases is not known here. */
const open = (title: string): string => title.replace(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, '…').replaceAll("\\'", "'");

/** A test file, and those that it imports, by way of others too, and that are called after it: `faults_answers_list.ts`. */
async function readWithParts(name: string, file: string): Promise<string> {
  const read = new Map<string, string>();
  const readAll = async (one: string): Promise<void> => {
    if (read.has(one)) return;
    const text = await readFile(new URL(one, import.meta.url), 'utf8');
    read.set(one, text);
    const parts = [...text.matchAll(/ from '\.\/(\w+\.ts)';/g)].map(([, part = '']) => part);
    for (const part of parts.filter((other) => other.startsWith(`${file}_`))) await readAll(part);
  };
  await readAll(name);
  return [...read.values()].join('\n');
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
