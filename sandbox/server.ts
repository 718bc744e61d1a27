import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type FastifyError, type FastifyInstance, type FastifyReply, fastify } from 'fastify';
import { refusalAnswer } from './answer.ts';
import { Authentication } from './authentication.ts';
import { control } from './control.ts';
import { LOGGED, type Parts } from './exchange.ts';
import { Faults } from './faults.ts';
import { makeKeys, merchantsFile, type SandboxKeys } from './keys.ts';
import { Limit } from './limit.ts';
import { Refusal } from './refusal.ts';
import { type LoggedRequest, RequestLog } from './requests.ts';
import { service } from './service.ts';
import { PolicyStore } from './store.ts';

export interface SandboxOptions {
  /** Folder of its keys, made where missing. @default a temporary one, removed when it is closed */
  keys?: string;
  /** 0: any free one. @default 0 */
  port?: number;
  /** @default '127.0.0.1' */
  host?: string;
  /** Also refuse what only the official pages forbid. @default false */
  strict?: boolean;
  /** Clock, Unix milliseconds. @default Date.now */
  now?: () => number;
  /** File that policies are kept in from one run to the next, names in the clear; without it they go with the sandbox. */
  policies?: string;
  /** Decides a fault's `probability`: at least 0, below 1. @default Math.random */
  random?: () => number;
}

export interface Sandbox {
  /** Origin, such as `http://127.0.0.1:8080`. */
  url: string;
  keys: SandboxKeys;
  /** What the file that `WECHATPAY_MERCHANTS` names must hold, as JSON, for a worker or client of its merchant. */
  merchants: Record<string, object>;
  /** Ends it, connections kept alive and calls being delayed too. */
  close(): Promise<void>;
}

/**
 * Starts a WeChat Pay to develop against: its policy service over HTTP, by the contract, and `/_sandbox` to look behind
 * it. Throws `KeysFolderError`, an error of one line for a bad `policies` file, or Node's error when it
 * cannot listen.
 */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const { port = 0, host = '127.0.0.1', strict = false, now = Date.now, random = Math.random } = options;
  const folder = options.keys ?? (await mkdtemp(join(tmpdir(), 'policy-sync-sandbox-')));
  const keys = await makeKeys(folder);
  const closing = new AbortController();
  // Each answer that is delayed waits for it.
  setMaxListeners(0, closing.signal);
  const parts: Parts = {
    keys,
    authentication: new Authentication(keys, now),
    store: new PolicyStore(strict, options.policies),
    faults: new Faults(random),
    limit: new Limit(),
    requests: new RequestLog(now),
    now,
    closing: closing.signal,
  };
  const app = server(parts);
  const url = await app.listen({ port, host });
  const close = async (): Promise<void> => {
    closing.abort();
    await app.close();
    if (options.keys === undefined) await rm(folder, { recursive: true, force: true });
  };
  return { url, keys, merchants: merchantsFile(keys, folder, url), close };
}

function server(parts: Parts): FastifyInstance {
  const app = fastify({
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    requestIdHeader: false,
    genReqId: () => `08${randomBytes(22).toString('hex').toUpperCase()}-0`,
    // A path that cannot be decoded reaches no route, and no hook.
    frameworkErrors: (error, request, reply) => {
      sendRefusal(reply.header('Request-ID', request.id), refusalOf(error));
    },
  });
  // The signature is over the bytes as received.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));
  app.decorateRequest(LOGGED, null);
  app.addHook('onRequest', async (request, reply) => {
    reply.header('Request-ID', request.id);
  });
  app.setErrorHandler((error, request, reply) => {
    const refusal = refusalOf(error);
    const logged = request.getDecorator<LoggedRequest | null>(LOGGED);
    if (logged) parts.requests.ended(logged, refusal.status, refusal.code);
    return sendRefusal(reply, refusal);
  });
  app.register(async (scope) => control(scope, parts), { prefix: '/_sandbox' });
  app.register(async (scope) => {
    scope.addHook('onRequest', async (request) => {
      request.setDecorator(LOGGED, parts.requests.arrived(request.method, request.url, request.id));
    });
    service(scope, parts);
  });
  return app;
}

// Of what fails before a route is reached (a body too long, a path that cannot be decoded), Fastify knows the status.
function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error;
  const { statusCode = 500, message } = error as FastifyError;
  return new Refusal(statusCode, statusCode < 500 ? 'PARAM_ERROR' : 'SYSTEM_ERROR', message);
}

function sendRefusal(reply: FastifyReply, refusal: Refusal): FastifyReply {
  const { status, headers, body } = refusalAnswer(refusal);
  return reply.code(status).headers(headers).send(body);
}
