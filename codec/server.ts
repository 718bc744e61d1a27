import cors from '@fastify/cors';
import type { Payload } from '@temporalio/common';
import proto from '@temporalio/proto';
import { type FastifyBaseLogger, type FastifyInstance, type FastifyRequest, fastify, LogController } from 'fastify';
import { z } from 'zod';
import { Access, type AccessSettings, type Verb } from './access.ts';
import { type Keyring, UnknownKey } from './keys.ts';
import { payloadCodec } from './payload_codec.ts';
import { SealBroken } from './seal.ts';

const { Payloads } = proto.temporal.api.common.v1;

/** Bytes are base64: `fromObject` takes all that has a `length` for bytes, and a few characters would be gigabytes. */
const bytesAsText = z.looseObject({
  payloads: z.array(
    z.looseObject({ metadata: z.record(z.string(), z.string()).nullish(), data: z.string().nullish() }),
  ),
});

/** A page of a history is 4 MB at most, a third more in base64. */
const MOST_BYTES = 8 * 1024 * 1024;
const PREFLIGHT_SECONDS = 600;
const EXPECTED =
  'expected Temporal’s Payloads as JSON: {"payloads": [{"metadata": {…}, "data": "…"}]}, bytes in base64';
const FAULTS: Record<number, string> = {
  400: EXPECTED,
  413: `too large: ${MOST_BYTES / 1024 / 1024} MiB at most`,
  415: EXPECTED,
};
/** As an address to listen on, and as a name in `Host`. */
const THIS_MACHINE = /^(localhost|::1|\[::1\]|127(\.\d+){3})$/i;
const NOTED = 'noted';

export interface CodecServerOptions extends AccessSettings {
  keyring: Keyring;
  /** Origins of the Temporal UIs whose pages may ask, such as `https://temporal.example.com`; looked at with each request. */
  uiOrigins: readonly string[];
  /** @default '127.0.0.1' */
  host?: string;
  /** 0: any free one. @default 0 */
  port?: number;
  /** Told of each request: what was asked, by whom, and what came of it; of no payload and no token. */
  log: FastifyBaseLogger;
}

export interface CodecServer {
  /** Origin, such as `http://127.0.0.1:8081`. */
  url: string;
  close(): Promise<void>;
}

/** Answered instead of payloads; the message is one line for people. */
class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly statusCode: number;

  constructor(statusCode: number, message: string) {
    super(message);
    this.statusCode = statusCode;
  }
}

/**
 * Opens sealed payloads for the Temporal UI and its command line, and seals what they send: Temporal's remote codec
 * protocol, `POST …/decode` and `…/encode`. A payload that does not open comes back as a text that says why.
 * @throws {Error} in one line where no token is asked for and the host is not this machine's alone; Node's error when it
 * cannot listen
 */
export async function startCodecServer(options: CodecServerOptions): Promise<CodecServer> {
  const { host = '127.0.0.1', port = 0 } = options;
  const access = new Access(options);
  if (access.isOpen && !THIS_MACHINE.test(host))
    throw new Error(`without a token it listens on 127.0.0.1 only, not on ${host}: set POLICY_SYNC_CODEC_TOKEN`);
  const app = await server(options, access);
  const url = await app.listen({ host, port });
  return { url, close: () => app.close() };
}

async function server(options: CodecServerOptions, access: Access): Promise<FastifyInstance> {
  const app = fastify({
    loggerInstance: options.log,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: MOST_BYTES,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
  });
  app.decorateRequest(NOTED, null);
  // A parser's message quotes what it could not read.
  app.setErrorHandler(({ statusCode = 500, message, name }: Error & { statusCode?: number }, request, reply) => {
    if (statusCode >= 500) request.log.error({ error: name }, 'a request failed');
    const text = name === 'Refusal' ? message : (FAULTS[statusCode] ?? 'failed: the log of the codec server has more');
    return reply.code(statusCode).type('text/plain; charset=utf-8').send(`${text}\n`);
  });
  app.setNotFoundHandler(() => {
    throw new Refusal(404, 'not found: POST to …/decode or …/encode');
  });
  app.addHook('onResponse', async (request, reply) => {
    const told = { verb: verbOf(request), ...request.getDecorator<Noted | null>(NOTED), status: reply.statusCode };
    request.log.info({ ...told, ms: Math.round(reply.elapsedTime) }, request.method);
  });
  await admitPages(app, options.uiOrigins, access);
  serve(app, options.keyring, access);
  return app;
}

/** Lets pages of the Temporal UI ask, and no others. */
async function admitPages(app: FastifyInstance, uiOrigins: readonly string[], access: Access): Promise<void> {
  await app.register(cors, {
    origin: (origin, decide) => decide(null, origin !== undefined && uiOrigins.includes(origin)),
    methods: ['POST'],
    allowedHeaders: ['Content-Type', 'Authorization', 'Authorization-Extras', 'X-Namespace'],
    // The UI can be told to send cookies, for a proxy that looks at them.
    credentials: true,
    maxAge: PREFLIGHT_SECONDS,
  });
  app.addHook('onRequest', async ({ headers: { origin }, hostname }) => {
    if (origin !== undefined && !uiOrigins.includes(origin))
      throw new Refusal(403, 'pages of this origin may not ask: start the codec server with its --ui-origin');
    // A stranger's page under a name that leads to this machine sends no origin but its own host.
    if (access.isOpen && !THIS_MACHINE.test(hostname)) throw new Refusal(403, 'without a token, ask at 127.0.0.1');
  });
}

function serve(app: FastifyInstance, keyring: Keyring, access: Access): void {
  const codec = payloadCodec(keyring, { allowPlain: true });
  const convert: Record<Verb, (payload: Payload) => Promise<Payload | undefined>> = {
    decode: async (payload) => opened(codec, payload),
    encode: async (payload) => (await codec.encode([payload]))[0],
  };
  // What comes before the verb is the caller's: the UI and the command line may be told to put the namespace there.
  app.post('/*', {
    // Before the body is read.
    onRequest: async (request) => {
      const verb = verbOf(request);
      if (!verb) return;
      const may = await access.may(verb, request.headers.authorization);
      if ('refused' in may) throw new Refusal(may.status, may.refused);
      request.setDecorator<Noted>(NOTED, { namespace: String(request.headers['x-namespace'] ?? ''), ...may });
    },
    handler: async (request, reply) => {
      const verb = verbOf(request);
      if (!verb) return reply.callNotFound();
      const payloads = payloadsOf(request.body);
      const noted = request.getDecorator<Noted | null>(NOTED);
      request.setDecorator<Noted>(NOTED, { ...noted, payloads: payloads.length });
      return jsonOf(await Promise.all(payloads.map((payload) => convert[verb](payload))));
    },
  });
}

/** What the log says of a request. */
interface Noted {
  namespace?: string;
  by?: string;
  payloads?: number;
}

async function opened(codec: ReturnType<typeof payloadCodec>, payload: Payload): Promise<Payload | undefined> {
  try {
    return (await codec.decode([payload]))[0];
  } catch (error) {
    if (!(error instanceof UnknownKey) && !(error instanceof SealBroken)) throw error;
    // People see it in place of the value; the other payloads of the page open.
    const metadata = { encoding: Buffer.from('json/plain') };
    return { metadata, data: Buffer.from(JSON.stringify(error.message)) };
  }
}

function payloadsOf(body: unknown): Payload[] {
  if (typeof body !== 'object' || body === null) throw new Refusal(400, EXPECTED);
  // Protobuf's JSON leaves out an empty list: the command line sends `{}` for a query without arguments.
  if (Object.keys(body).length === 0 && !Array.isArray(body)) return [];
  if (!bytesAsText.safeParse(body).success) throw new Refusal(400, EXPECTED);
  try {
    return Payloads.fromObject(body).payloads;
  } catch {
    throw new Refusal(400, EXPECTED);
  }
}

function jsonOf(payloads: (Payload | undefined)[]): object {
  const message = Payloads.fromObject({ payloads: payloads.map((payload) => payload ?? {}) });
  return Payloads.toObject(message, { bytes: String });
}

function verbOf({ url }: FastifyRequest): Verb | undefined {
  const last = url.split('?')[0]?.split('/').at(-1);
  return last === 'decode' || last === 'encode' ? last : undefined;
}
