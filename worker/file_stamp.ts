import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/**
 * Text that changes with a file, and with each file that it names: a key may be replaced in its place. Looked at
 * rather than watched by events, which do not come for mounted secrets.
 * @param namedIn the paths that a text names, relative to its folder
 */
export async function stampOf(file: string, namedIn: (text: string) => readonly string[]): Promise<string> {
  const text = await readFile(file, 'utf8').catch(codeOf);
  const named = namedIn(text).map((path) => resolve(dirname(file), path));
  const stamps = await Promise.all(
    named.map((path) => stat(path).then(({ ctimeMs, size, ino }) => `${ctimeMs} ${size} ${ino}`, codeOf)),
  );
  return [text, ...stamps].join('\n');
}

function codeOf({ code }: NodeJS.ErrnoException): string {
  return String(code);
}
