import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { utf8In } from '../../policy/encoding.ts';
import { EVENT_TYPES, type EventType } from '../../policy/events.ts';
import { OWN_WORDS } from '../../policy/expected.ts';
import { brokenLine } from '../../policy/json_fault.ts';
import { described } from '../../policy/words.ts';
import { SettingsError } from '../settings.ts';

const SETTING = 'POLICY_SYNC_WEBHOOKS';
const SECRET = /^whsec_([A-Za-z0-9+/]+={0,2})$/;
/** Of bytes, as Standard Webhooks asks for. */
const LEAST_SECRET = 24;
const MOST_SECRET = 64;

/** Where events go, and which. */
export interface Endpoint {
  name: string;
  url: string;
  /** Each signs; the first is the newest. */
  secrets: readonly Buffer[];
  /** Of these alone; undefined: of all. */
  merchants: readonly string[] | undefined;
  types: readonly EventType[] | undefined;
}

const types = Object.keys(EVENT_TYPES) as [EventType, ...EventType[]];

/** One of the list that the file has. */
export const endpointSchema = z.strictObject(
  described(
    {
      name: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, {
        error: 'expected a name of at most 64 small letters, digits, - and _',
      }),
      url: z
        .string()
        .refine(isSafe, { error: 'expected an https URL without a password (http for this machine alone)' }),
      secret_files: z
        .array(z.string().min(1))
        .min(1, { error: 'expected a file with a secret, two while one is exchanged' })
        .max(5),
      merchants: z
        .array(z.string().regex(/^\d{8,10}$/, { error: 'expected merchant ids of 8 to 10 digits' }))
        .optional(),
      events: z.array(z.enum(types, { error: `expected types of events: ${types.join(', ')}` })).optional(),
    },
    {
      name: 'By which deliveries, metrics and `policy-sync events` know it. Another name is another endpoint.',
      url: 'Where events are posted: https, or http on this machine. Redirects are not followed.',
      secret_files: 'Files of a secret each, `whsec_` and 24 to 64 bytes in base64. Each signs.',
      merchants: 'Only events of policies of these. Absent: of all.',
      events: 'Only events of these types. Absent: all.',
    },
  ),
);

/** Nothing is sent over a network for others to read. */
function isSafe(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username, password } = new URL(text);
  const isLoopback = hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
  return (protocol === 'https:' || (protocol === 'http:' && isLoopback)) && !username && !password;
}

/**
 * Reads the JSON file that `POLICY_SYNC_WEBHOOKS` names, and every secret that it names, relative to its folder.
 * @throws {SettingsError} with the first fault; it holds nothing of a secret
 */
export async function readEndpoints(file: string): Promise<Endpoint[]> {
  const whole = resolve(file);
  const text = await textOf(whole, whole);
  const result = z.array(endpointSchema).safeParse(jsonIn(text, whole), OWN_WORDS);
  const [issue] = result.error?.issues ?? [];
  if (issue) throw fault([issue.path.map(String).join('.'), issue.message].filter(Boolean).join(': '), whole);
  const entries = result.data ?? [];
  const twice = entries.find(({ name }, at) => entries.findIndex((other) => other.name === name) !== at);
  if (twice) throw fault(`expected each name once, found ${twice.name} twice`, whole);
  return Promise.all(
    entries.map(async ({ secret_files, events, ...endpoint }) => ({
      ...endpoint,
      merchants: endpoint.merchants,
      types: events,
      secrets: await Promise.all(secret_files.map((path) => secretOf(endpoint.name, resolve(dirname(whole), path)))),
    })),
  );
}

async function secretOf(name: string, path: string): Promise<Buffer> {
  const [, base64] = SECRET.exec((await textOf(path, `secret_files of ${name}`)).trim()) ?? [];
  const secret = Buffer.from(base64 ?? '', 'base64');
  if (secret.length < LEAST_SECRET || secret.length > MOST_SECRET)
    throw fault(
      `expected whsec_ and ${LEAST_SECRET} to ${MOST_SECRET} bytes in base64 at ${path}, found something else`,
      `secret_files of ${name}`,
    );
  return secret;
}

async function textOf(path: string, where: string): Promise<string> {
  const bytes = await readFile(path).catch(({ code }: NodeJS.ErrnoException) => {
    throw fault(`expected a readable file at ${path}, found ${code === 'ENOENT' ? 'none' : code}`, where);
  });
  const { text, wrongLine } = utf8In(bytes);
  if (wrongLine !== undefined) throw fault(`expected text in UTF-8, found other bytes in line ${wrongLine}`, where);
  return text;
}

function jsonIn(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const line = brokenLine(text);
    throw fault(`expected JSON, found a fault${line === undefined ? ': it ends too soon' : ` in line ${line}`}`, file);
  }
}

function fault(message: string, where: string): SettingsError {
  return new SettingsError([`${SETTING}: ${message} (${where})`]);
}

/** The files of secrets that a text names, as far as can be seen without understanding it. */
export function secretFilesIn(text: string): string[] {
  const lists = [...text.matchAll(/"secret_files"\s*:\s*\[([^\]]*)\]/g)].map(([, list = '']) => list);
  return lists.flatMap((list) => [...list.matchAll(/"([^"]+)"/g)].map(([, path = '']) => path));
}
