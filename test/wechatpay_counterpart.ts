import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Formatter, Rsa } from 'wechatpay-axios-plugin';
import type { Merchant } from '../wechatpay/merchant.ts';

/** WeChat Pay's end of the wire for tests, signing and sealing with wechatpay-axios-plugin: code that is not ours. */
export const KEY_ID = 'PUB_KEY_ID_0119000000012025092100000001';
export const MERCHANT_SERIAL = '5157F09EFDC096DE15EBE81A47057A7232F1B8E1';
export const NUMBER = 'Auisihsiahishishi4hihsid123418id';

const rsa = (): ReturnType<typeof generateKeyPairSync> => generateKeyPairSync('rsa', { modulusLength: 2048 });
export const wechatpayPair = rsa();
export const merchantPair = rsa();
export const strangerPair = rsa();

export function merchantAt(...base_urls: string[]): Merchant {
  return {
    mchid: '1900000001',
    merchant_keys: [{ serial_no: MERCHANT_SERIAL, private_key: merchantPair.privateKey }],
    wechatpay_keys: [{ id: KEY_ID, public_key: wechatpayPair.publicKey }],
    requests_per_second: 50,
    base_urls,
    paused: false,
  };
}

export interface Recorded {
  method: string;
  path: string;
  headers: IncomingMessage['headers'];
  body: Buffer;
}

export interface Counterpart {
  url: string;
  requests: Recorded[];
}

export type Handler = (request: Recorded, response: ServerResponse) => void;

/** A real HTTP server on loopback for the time of `use`, which it closes with every connection. */
export async function withCounterpart(
  handler: Handler,
  use: (counterpart: Counterpart) => Promise<void>,
): Promise<void> {
  const requests: Recorded[] = [];
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const { method = '', url: path = '', headers } = incoming;
      const request = { method, path, headers, body: Buffer.concat(chunks) };
      requests.push(request);
      handler(request, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    await use({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests });
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

export interface Signing {
  /** Unix seconds. */
  timestamp?: number;
  serial?: string;
  key?: typeof wechatpayPair.privateKey;
}

/** The `Wechatpay-*` headers of an answer with this body. */
export function signedHeaders(body: string | Buffer, signing: Signing = {}): Record<string, string> {
  const timestamp = String(signing.timestamp ?? Formatter.timestamp());
  const nonce = randomBytes(16).toString('hex');
  const signature = Rsa.sign(
    Formatter.response(timestamp, nonce, String(body)),
    signing.key ?? wechatpayPair.privateKey,
  );
  return {
    'Wechatpay-Timestamp': timestamp,
    'Wechatpay-Nonce': nonce,
    'Wechatpay-Signature': signature,
    'Wechatpay-Serial': signing.serial ?? KEY_ID,
    'Request-ID': '08F1A2B3C4-0',
  };
}

/** Answers with a JSON body, signed unless `headers` are given for it. */
export function answer(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: OutgoingHttpHeaders = signedHeaders(JSON.stringify(value)),
): void {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
}

/** The seed's example as WeChat Pay answers it, names sealed for the merchant. */
export function heldPolicy(names: string[] = ['张三']): Record<string, unknown> {
  return {
    out_insurance_no: NUMBER,
    insurance_name: '微医保·百万医疗险',
    insured_name_list: names.map((name) => Rsa.encrypt(name, merchantPair.publicKey)),
    policy_state: 'POLICY_STATE_APPROVED',
    policy_code: 'Coisihsiaxishishi4hihsid1ii411co',
    plan_id: 12535,
    policy_periods: [1],
    address: '上海市浦东新区晨晖路1001号',
    a_field_of_tomorrow: { level: 2 },
  };
}
