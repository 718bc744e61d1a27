import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';

/** A text that rests where it should not. */
export interface Leak {
  /** Relative to the folder that was searched. */
  file: string;
  /** What the text is, without the text. */
  what: string;
  /** How it is written there. */
  form: string;
}

/** Texts to look for, by what they are. */
export type Texts = Readonly<Record<string, string | Buffer>>;

/** Looks for texts in every file below a folder, in every form that programs write texts in. */
export async function leaksBelow(directory: string, texts: Texts): Promise<{ leaks: Leak[]; files: string[] }> {
  const patterns = Object.entries(texts).flatMap(([what, text]) =>
    formsOf(text).map(([form, bytes]) => ({ what, form, bytes })),
  );
  const leaks: Leak[] = [];
  const files: string[] = [];
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = relative(directory, join(entry.parentPath, entry.name));
    const content = await readFile(join(directory, file));
    files.push(file);
    for (const { what, form, bytes } of patterns) if (content.includes(bytes)) leaks.push({ file, what, form });
  }
  return { leaks, files };
}

/** UTF-8, UTF-16, escaped as JSON and URLs have it, hexadecimal, and what Base64 makes of it at every offset. */
export function formsOf(text: string | Buffer): [form: string, bytes: Buffer][] {
  const bytes = Buffer.from(text);
  const escaped = escapedText(bytes.toString());
  const written = {
    'JSON \\u': escaped,
    'JSON \\U': escaped.replace(/\\u[0-9a-f]{4}/g, (one) => `\\u${one.slice(2).toUpperCase()}`),
    URL: encodeURIComponent(bytes.toString()),
    hex: bytes.toString('hex'),
    HEX: bytes.toString('hex').toUpperCase(),
  };
  const forms: [string, Buffer][] = [
    ['UTF-8', bytes],
    ['UTF-16', Buffer.from(bytes.toString(), 'utf16le')],
    ...Object.entries(written).map(([form, as]): [string, Buffer] => [form, Buffer.from(as)]),
  ];
  for (const [source, of] of [
    ['', bytes],
    [' of JSON \\u', Buffer.from(escaped)],
  ] as const)
    for (const offset of [0, 1, 2])
      for (const alphabet of ['base64', 'base64url'] as const)
        forms.push([`${alphabet}+${offset}${source}`, Buffer.from(within(of, offset, alphabet))]);
  return forms;
}

function escapedText(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** The characters of a longer Base64 text that bytes at `offset` of it decide alone. */
function within(bytes: Buffer, offset: number, alphabet: 'base64' | 'base64url'): string {
  const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString(alphabet);
  return text.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + bytes.length) * 8) / 6));
}

/** The lines of a private key that hold the key. */
export async function privateKeyOf(file: string): Promise<Texts> {
  const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line.length === 64);
  assert.ok(lines.length > 10);
  return Object.fromEntries(lines.map((line, at) => [`${file}, line ${at + 1}`, line]));
}
