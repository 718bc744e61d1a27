import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { after, before } from 'node:test';
import { pino } from 'pino';
import { WechatPay } from '../command/story/wechatpay.ts';
import { type Gateway, startGateway } from '../gateway/server.ts';
import { type Servers, serversOf } from '../gateway/servers.ts';
import { newToken, ROLES, type Role } from '../gateway/tokens.ts';
import type { RecordInput } from '../policy/record.ts';
import { type Stage, setStage } from './client_stage.ts';
import { MCHID, recordOf, uniqueNumber } from './fixtures.ts';

/** What came back of a request. */
export interface Answered {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: JSON of any shape, looked into by tests
  body: any;
  text: string;
}

export interface Asking {
  body?: unknown;
  token?: string | null;
  headers?: Record<string, string>;
}

/** A file of tokens, and what is written into it. */
export class TokensFile {
  readonly path: string;
  readonly #entries: Record<string, unknown> = {};

  constructor(directory: string) {
    this.path = join(directory, `tokens_${uniqueNumber()}.json`);
    this.write('{}');
  }

  add(name: string, roles: readonly Role[] = ROLES, merchants: '*' | string[] = '*'): string {
    const { token, entry } = newToken({ name, roles, merchants });
    Object.assign(this.#entries, entry);
    this.write(JSON.stringify(this.#entries));
    return token;
  }

  remove(name: string): void {
    delete this.#entries[name];
    this.write(JSON.stringify(this.#entries));
  }

  write(text: string): void {
    writeFileSync(this.path, text);
  }

  get text(): string {
    return readFileSync(this.path, 'utf8');
  }
}

/** Asks a gateway. */
export async function ask(url: string, words: string, { body, token, headers = {} }: Asking = {}): Promise<Answered> {
  const [method = '', path = ''] = words.split(' ');
  const answer = await fetch(url + path, {
    method,
    headers: {
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(token && { authorization: `Bearer ${token}` }),
      ...headers,
    },
    ...(body !== undefined && {
      body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
    }),
  });
  const text = await answer.text();
  const isJson = /json/.test(answer.headers.get('content-type') ?? '');
  return { status: answer.status, headers: answer.headers, text, body: isJson ? JSON.parse(text) : undefined };
}

/** What a gateway logs. */
export function logOf() {
  const lines: string[] = [];
  const log = pino(new Writable({ write: (chunk, _encoding, done) => done(void lines.push(String(chunk))) }));
  return { lines, log };
}

/** A gateway beside a running engine, for as long as the tests of the file that asks for it run. */
export function gatewayStage() {
  let stage: Stage;
  let gateway: Gateway;
  let servers: Servers;
  let token: string;
  let tokens: TokensFile;
  let wechatpay: WechatPay;
  const { lines, log } = logOf();

  const start = async (): Promise<void> => {
    stage = await setStage();
    wechatpay = new WechatPay(stage.sandboxUrl);
    servers = await serversOf(stage.env);
    tokens = new TokensFile(stage.directory);
    token = tokens.add('core');
    gateway = await startGateway({ servers, tokensFile: tokens.path, log });
  };
  let started: Promise<void> | undefined;
  before(() => {
    started = start();
    return started;
  });
  after(async () => {
    await gateway?.close();
    await servers?.close();
    await stage?.stop();
  });

  const asked = async (words: string, asking: Asking = {}): Promise<Answered> => {
    return ask(gateway.url, words, { token, ...asking });
  };

  return {
    lines,
    asked,
    /** A record that WeChat Pay has already, and the path of its policy. */
    known: async (changes: Partial<RecordInput['policy']> = {}, settings: Partial<RecordInput> = {}) => {
      const record = recordOf({ out_insurance_no: uniqueNumber(), ...changes }, settings);
      const number = record.policy.out_insurance_no;
      await wechatpay.put(number, record.policy);
      return { record, number, path: `/policies/${MCHID}/${number}` };
    },
    /** For a hook of who uses it: where a file runs by itself, Node does not await one before the next. */
    ready: async () => {
      await started;
      return { stage, wechatpay, gateway, tokens, servers, token };
    },
  };
}

export type GatewayStage = ReturnType<typeof gatewayStage>;
