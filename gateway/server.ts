import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { parse as parseQuery } from 'node:querystring';
import helmet from '@fastify/helmet';
import { type FastifyBaseLogger, type FastifyInstance, type FastifyReply, fastify, LogController } from 'fastify';
import { InvalidSetting } from '../client/errors.ts';
import { utf8In } from '../policy/encoding.ts';
import { parse } from '../policy/violation.ts';
import { guard, isThisMachine } from './access.ts';
import { addConsole } from './console.ts';
import { describeRoutes, showDocument } from './document.ts';
import { objectIn } from './envelopes.ts';
import { addHealth } from './health.ts';
import { addListing } from './listing.ts';
import { addMessages } from './messages.ts';
import { Problem, problemOf } from './problems.ts';
import { addReading } from './reading.ts';
import { refuseOthers, routesOf } from './routes.ts';
import type { Servers } from './servers.ts';
import { Tokens } from './tokens.ts';
import { traceRequests } from './traced.ts';

export interface GatewayOptions {
  servers: Servers;
  /** A file of tokens. Without it whoever reaches the gateway may do all, and it listens on this machine alone. */
  tokensFile?: string;
  /** @default '127.0.0.1' */
  host?: string;
  /** 0: any free one. @default 0 */
  port?: number;
  /** Told of each request: what was asked, by whom, and what came of it; of no body, no token and no policy. */
  log: FastifyBaseLogger;
}

export interface Gateway {
  /** Origin, such as `http://127.0.0.1:8080`. */
  url: string;
  /** Takes no more requests, and finishes those that are under way. */
  close(): Promise<void>;
}

/** A record is 16,384 characters of JSON at most, which may be written with six bytes each. */
const MOST_BYTES = 128 * 1024;
const REQUEST_MS = 10_000;
/** Longer than the longest answer, that of `verify`, takes. */
const ANSWER_MS = 90_000;
const RETRY_AFTER_SECONDS = 2;
const REQUEST_ID = /^[\w.:-]{1,64}$/;

/**
 * Starts the gateway.
 * @throws {InvalidSetting} where no token is asked for and the host is not this machine's alone, or the tokens cannot be read;
 * Node's error when it cannot listen
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const { host = '127.0.0.1', port = 0, log, tokensFile } = options;
  if (tokensFile === undefined && !isThisMachine(host))
    throw new InvalidSetting(
      `POLICY_SYNC_TOKENS: expected a file of tokens, to listen on ${host}, found nothing: without it, it listens on 127.0.0.1 only`,
    );
  const tokens = tokensFile === undefined ? undefined : new Tokens(tokensFile, (fault) => log.error(fault));
  const app = await gatewayApp(options.servers, log, tokens);
  const url = await app.listen({ host, port });
  return { url, close: () => app.close() };
}

/** The gateway, which does not listen yet. */
export async function gatewayApp(servers: Servers, log: FastifyBaseLogger, tokens?: Tokens): Promise<FastifyInstance> {
  const app = fastify({
    loggerInstance: log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: MOST_BYTES,
    requestTimeout: REQUEST_MS,
    handlerTimeout: ANSWER_MS,
    exposeHeadRoutes: false,
    // A `+` is one, as in the offset of a time: no parameter has blanks.
    routerOptions: {
      maxParamLength: 500,
      querystringParser: (text) => ({ ...parseQuery(text.replaceAll('+', '%2B')) }),
    },
    genReqId: ({ headers: { 'x-request-id': id } }) =>
      typeof id === 'string' && REQUEST_ID.test(id) ? id : randomUUID(),
    clientErrorHandler: answerUnread,
    frameworkErrors: (error, _request, reply) => void answerProblem(error, reply as unknown as FastifyReply),
  });
  app.setErrorHandler((error, _request, reply) => answerProblem(error, reply));
  app.setNotFoundHandler(() => {
    throw new Problem('not-found', 'there is no such path: see /docs');
  });
  const refuseRest = refuseOthers(app, (allow) => {
    throw new Problem('method', `this path takes ${allow}`);
  });
  await app.register(helmet, { contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"] } } });
  letGo(app);
  traceRequests(app);
  tellOfRequests(app);
  takeJson(app);
  // What comes out is ours, and told whole: a field that the document lacks must not hide a policy from people.
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));
  app.setValidatorCompiler(
    ({ schema, httpPart }) =>
      (value) =>
        httpPart === 'body' ? { value } : checked(schema, value),
  );
  guard(app, tokens);
  await describeRoutes(app);
  await app.register(async (scope) => {
    const routes = routesOf(scope);
    addMessages(routes, servers);
    addReading(routes, servers);
    addListing(routes, servers);
    addHealth(routes, scope, servers);
    await addConsole(scope);
  });
  await showDocument(app);
  await app.after();
  refuseRest();
  await app.ready();
  return app;
}

/** Path, query and headers by their schemas; a body is checked by the library that takes it, with all its rules. */
function checked(schema: unknown, value: unknown): { value: unknown } | { error: Error } {
  try {
    return { value: parse(schema as Parameters<typeof parse>[0], value) };
  } catch (error) {
    return { error: error as Error };
  }
}

/** Once it closes, no caller keeps a connection: one that is kept idle would hold it up for more than a minute. */
function letGo(app: FastifyInstance): void {
  let closing = false;
  app.addHook('preClose', async () => {
    closing = true;
  });
  app.addHook('onSend', async (_request, reply) => {
    if (closing) reply.header('connection', 'close');
  });
}

/** A line a request. The path's pattern, never the path: that names a policy. */
function tellOfRequests(app: FastifyInstance): void {
  app.addHook('onRequest', async ({ id }, reply) => {
    reply.headers({ 'x-request-id': id, 'cache-control': 'no-store' });
  });
  app.addHook('onResponse', async ({ id, method, routeOptions, who }, reply) => {
    const told = { id, method, path: routeOptions.url ?? null, status: reply.statusCode, by: who?.name };
    app.log.info({ ...told, ms: Math.round(reply.elapsedTime) }, 'request');
  });
}

function takeJson(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const [, charset = 'utf-8'] = /;\s*charset\s*=\s*"?([^";\s]+)/i.exec(request.headers['content-type'] ?? '') ?? [];
    if (!/^utf-?8$/i.test(charset)) return done(new Problem('media', 'expected JSON in UTF-8, found another charset'));
    if (body.length === 0) return done(null, undefined);
    // What could be read of GBK would be other text, and WeChat Pay would get that.
    const { text, wrongLine } = utf8In(body as Buffer);
    if (wrongLine !== undefined) return done(new Problem('json', 'expected JSON in UTF-8, found bytes that are not'));
    try {
      done(null, objectIn(JSON.parse(text)));
    } catch (error) {
      // A parser's message quotes what it could not read.
      done(error instanceof SyntaxError ? new Problem('json', 'expected JSON') : (error as Error));
    }
  });
}

/** What came is no HTTP, has too long a head, or did not come to its end in time. */
function answerUnread({ code }: NodeJS.ErrnoException, socket: Socket): void {
  if (code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  const problem = problemOf({ statusCode: code === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400 });
  const head = `HTTP/1.1 ${problem.status} ${problem.title}\r\nContent-Type: application/problem+json\r\nConnection: close`;
  const body = JSON.stringify(problem);
  socket.end(`${head}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

function answerProblem(error: unknown, reply: FastifyReply): FastifyReply {
  const problem = problemOf(error);
  if (problem.status >= 500) {
    const { name, message, stack = '' } = error as Error;
    // The text of an error that is none of ours may quote anything.
    const at =
      problem.rule === 'internal' ? { error: name, at: /\n\s+at ([^\n]+)/.exec(stack)?.[1] } : { error: name, message };
    reply.log.error(at, 'a request failed');
  }
  if (problem.status === 401) reply.header('www-authenticate', 'Bearer');
  if (problem.status === 503) reply.header('retry-after', RETRY_AFTER_SECONDS);
  return reply.code(problem.status).type('application/problem+json').serializer(String).send(JSON.stringify(problem));
}
