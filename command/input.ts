import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { utf8In } from '../policy/encoding.ts';
import { brokenLine } from '../policy/json_fault.ts';
import type { RecordInput } from '../policy/record.ts';

/** The text of a file in UTF-8, a byte order mark allowed; of standard input for `-`. Throws an error of one line. */
export async function textOf(file: string): Promise<string> {
  const { text, wrongLine } = utf8In(await bytesOf(file));
  if (wrongLine === undefined) return text;
  throw notUtf8(nameOf(file), wrongLine);
}

export function notUtf8(name: string, line: number): Error {
  return new Error(`${name}, line ${line}: expected text in UTF-8, found other bytes: save it as UTF-8`);
}

/** A file for people. */
export function nameOf(file: string): string {
  return file === '-' ? 'standard input' : file;
}

async function bytesOf(file: string): Promise<Buffer> {
  if (file === '-') return buffer(process.stdin);
  return readFile(file).catch((error: NodeJS.ErrnoException) => {
    throw notRead(file, error);
  });
}

export function notRead(file: string, { code }: NodeJS.ErrnoException): Error {
  return new Error(`${file} cannot be read (${code}): name a file, or - for standard input`);
}

/** The record in a file: what it says to editors is no part of it. */
export function recordIn(content: unknown): RecordInput {
  if (typeof content !== 'object' || content === null || Array.isArray(content)) return content as RecordInput;
  const { $schema: _forEditors, ...record } = content as RecordInput & { $schema?: unknown };
  return record;
}

/** JSON of a file; the message of its error quotes nothing of it, for records are about people. */
export function jsonOf(where: string, content: string): unknown {
  try {
    return JSON.parse(content);
  } catch {
    throw new Error(faultOf(where, content));
  }
}

function faultOf(where: string, content: string): string {
  if (content.trim() === '') return `${where}: expected JSON, found nothing`;
  const line = brokenLine(content);
  if (line === undefined) return `${where}: expected JSON, found its beginning only: it ends too soon`;
  return `${where}${content.trim().includes('\n') ? `, line ${line}` : ''}: expected JSON, found something else`;
}

/** Whether a text is JSON. */
export function isJson(content: string): boolean {
  try {
    JSON.parse(content);
    return true;
  } catch {
    // Not JSON is an answer to the question.
    return false;
  }
}
