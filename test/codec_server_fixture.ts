import { readFileSync } from 'node:fs';
import { Writable } from 'node:stream';
import { after } from 'node:test';
import { pino } from 'pino';
import { type Keyring, parseKeys } from '../codec/keys.ts';
import { type CodecServer, type CodecServerOptions, startCodecServer } from '../codec/server.ts';
import { until } from './client_namespace.ts';

export const [vector] = JSON.parse(
  /```json\n(.*?)```/s.exec(readFileSync(new URL('../docs/sealing.md', import.meta.url), 'utf8'))?.[1] ?? '[]',
) as [{ key_id: string; key: string; payload: { data: string }; sealed: string }];
export const keyring = parseKeys(`${vector.key_id}:${Buffer.from(vector.key, 'hex').toString('base64')}`) as Keyring;
export const UI = 'http://ui.test:8233';
export const READER = 'a-token-of-those-who-read';
export const WRITER = 'a-token-of-those-who-seal';
export const tokens = { decode: [READER, 'the-next-token-of-readers'], encode: [WRITER] };

export interface JsonPayload {
  metadata?: Record<string, string>;
  data?: string;
}

export const base64 = (text: string): string => Buffer.from(text).toString('base64');
export const textOf = (bytes = ''): string => Buffer.from(bytes, 'base64').toString();
export const jsonPayload = (value: unknown): JsonPayload => ({
  metadata: { encoding: base64('json/plain') },
  data: base64(JSON.stringify(value)),
});
export const sealedPayload = (key = vector.key_id, data = vector.sealed): JsonPayload => ({
  metadata: { encoding: base64('binary/encrypted'), 'encryption-key-id': base64(key) },
  data,
});

/** Starts servers for the tests of one file, and ends them after these; `closers` takes what else is to be ended. */
export function servers() {
  const closers: (() => unknown)[] = [];
  after(async () => {
    for (const close of closers.reverse()) await close();
  });
  const started = async (options: Partial<CodecServerOptions> = {}): Promise<CodecServer & { lines: string[] }> => {
    const lines: string[] = [];
    const log = pino(new Writable({ write: (chunk, _encoding, done) => done(void lines.push(String(chunk))) }));
    const server = await startCodecServer({ keyring, uiOrigins: [UI], log, ...options });
    closers.push(() => server.close());
    return { ...server, lines };
  };
  return { started, closers };
}

export async function post(
  { url }: CodecServer,
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
): Promise<{ status: number; text: string; payloads: JsonPayload[]; headers: Headers }> {
  const answer = await fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await answer.text();
  const payloads = answer.ok ? (JSON.parse(text) as { payloads: JsonPayload[] }).payloads : [];
  return { status: answer.status, text, payloads, headers: answer.headers };
}

/** What is in the log of so many requests: it is written once they are answered. */
export async function toldOf({ lines }: { lines: string[] }, count: number): Promise<Record<string, unknown>[]> {
  const told = () => lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'POST');
  await until(async () => told().length >= count);
  return told();
}

export const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
