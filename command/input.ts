import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';

/** The text of a file; of standard input for `-`. Throws an error of one line. */
export async function textOf(file: string): Promise<string> {
  if (file === '-') return text(process.stdin);
  return readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new Error(`${file} cannot be read (${error.code}): name a file, or - for standard input`);
  });
}

/** JSON of a file; the message of its error quotes nothing of it, for records are about people. */
export function jsonOf(where: string, content: string): unknown {
  try {
    return JSON.parse(content);
  } catch {
    throw new Error(`${where}: expected JSON, found something else`);
  }
}
