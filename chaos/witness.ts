import { constants, privateDecrypt, verify } from 'node:crypto';
import { Agent, createServer, type IncomingMessage, request as outgoing, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import type { PolicyFields } from '../policy/record.ts';
import { signatureHeaders } from '../sandbox/answer.ts';
import type { SandboxKeys } from '../sandbox/keys.ts';
import type { Sandbox } from '../sandbox/server.ts';

/** A whole policy which the sandbox showed in an answer that it signed as WeChat Pay does. */
export interface Shown {
  /** When the whole of it had come, in ms since the epoch. */
  at: number;
  /** Names opened. */
  policy: PolicyFields;
}

/** Stands between workers and sandbox, hands everything on, and sees for itself which answers are genuine. */
export interface Witness {
  url: string;
  /** By Request-ID: what came whole, with status 200 and a signature that holds. */
  shown: ReadonlyMap<string, Shown>;
  /** From now on genuine answers are signed anew with these keys: WeChat Pay has got others. */
  rotate(keys: SandboxKeys): void;
  close(): Promise<void>;
}

const FRESH_S = 300;

export async function startWitness({ url, keys }: Sandbox): Promise<Witness> {
  const shown = new Map<string, Shown>();
  const agent = new Agent({ keepAlive: true });

  let rotated: SandboxKeys | undefined;

  const isGenuine = ({ headers }: IncomingMessage, body: Buffer): boolean => {
    const [serial, timestamp] = [headers['wechatpay-serial'], headers['wechatpay-timestamp']];
    if (serial !== keys.wechatpay_public_key_id) return false;
    if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) < FRESH_S)) return false;
    const signed = Buffer.concat([
      Buffer.from(`${timestamp}\n${headers['wechatpay-nonce']}\n`),
      body,
      Buffer.from('\n'),
    ]);
    const signature = Buffer.from(String(headers['wechatpay-signature'] ?? ''), 'base64');
    const isText = signature.toString('base64') === headers['wechatpay-signature'];
    return isText && verify('RSA-SHA256', signed, keys.wechatpay_public_key, signature);
  };
  const opened = (sealed: string): string => {
    const key = { key: keys.merchant_private_key, padding: constants.RSA_PKCS1_OAEP_PADDING };
    return privateDecrypt(key, Buffer.from(sealed, 'base64')).toString();
  };
  const note = (answer: IncomingMessage, body: Buffer): void => {
    const policy = JSON.parse(body.toString()) as PolicyFields;
    const { insured_name_list: names } = policy;
    const insured_name_list = names?.map(opened);
    shown.set(String(answer.headers['request-id']), {
      at: Date.now(),
      policy: { ...policy, ...(insured_name_list && { insured_name_list }) },
    });
  };

  const pass = async (incoming: IncomingMessage, reply: ServerResponse): Promise<void> => {
    const body = await buffer(incoming);
    const { method, url: path, headers } = incoming;
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      outgoing(`${url}${path}`, { method, headers, agent }, resolve).on('error', reject).end(body);
    });
    const writeHead = (): unknown => reply.writeHead(answer.statusCode ?? 0, answer.headers);
    if (!rotated) writeHead();
    const parts: Buffer[] = [];
    for await (const part of answer) {
      parts.push(part as Buffer);
      if (!rotated) reply.write(part);
    }
    const whole = Buffer.concat(parts);
    const genuine = isGenuine(answer, whole);
    if (genuine && answer.statusCode === 200) note(answer, whole);
    if (!reply.headersSent) {
      if (genuine && rotated)
        Object.assign(answer.headers, lowered(await signatureHeaders(rotated, whole, Date.now())));
      writeHead();
      reply.write(whole);
    }
    reply.end();
  };

  const server = createServer((incoming, reply) => {
    // Either side has gone: the other is told by the same.
    pass(incoming, reply).catch(() => reply.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    shown,
    rotate: (to) => {
      rotated = to;
    },
    close: async () => {
      agent.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** As Node has the headers of an answer. */
function lowered(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}
