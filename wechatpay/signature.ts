import { type KeyObject, sign, verify } from 'node:crypto';

/** Authorization scheme of APIv3 and its algorithm: RSA-2048, SHA-256, PKCS#1 v1.5. */
export const SCHEME = 'WECHATPAY2-SHA256-RSA2048';

const ALGORITHM = 'RSA-SHA256';

export interface RequestParts {
  /** Upper-case HTTP verb. */
  method: string;
  /** Path with query, as sent; without the host. */
  path: string;
  /** Unix seconds. */
  timestamp: string | number;
  nonce: string;
  /** The bytes as sent; empty for GET. */
  body: string | Buffer;
}

export interface AnswerParts {
  /** `Wechatpay-Timestamp`, Unix seconds. */
  timestamp: string | number;
  /** `Wechatpay-Nonce`. */
  nonce: string;
  /** The bytes as received. */
  body: string | Buffer;
}

/** The five lines that a request's signature covers, each ended by a line feed (APIv3, 签名与验签规则). */
export function requestMessage({ method, path, timestamp, nonce, body }: RequestParts): Buffer {
  return lines([method, path, String(timestamp), nonce], body);
}

/** The three lines that the signature of an answer, or of a notification, covers (APIv3, 签名与验签规则). */
export function answerMessage({ timestamp, nonce, body }: AnswerParts): Buffer {
  return lines([String(timestamp), nonce], body);
}

// The body goes in as bytes: decoding it first would lose what is not valid UTF-8, and with it the signature.
function lines(heads: string[], body: string | Buffer): Buffer {
  return Buffer.concat([Buffer.from(heads.map((head) => `${head}\n`).join('')), Buffer.from(body), Buffer.from('\n')]);
}

/**
 * RSA-SHA256 (PKCS#1 v1.5) signature in Base64, made on libuv's thread pool so that signing never holds the event loop.
 * Rejects with Node's own error when the key cannot sign.
 */
export function signMessage(key: KeyObject, message: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    sign(ALGORITHM, message, key, (error, signature) => {
      if (error) reject(error);
      else resolve(signature.toString('base64'));
    });
  });
}

/**
 * Whether `signature` (Base64) is the key's signature of `message`. Only canonical Base64 passes: Node's decoder skips
 * what it does not know, so that many texts would stand for one signature.
 */
export function verifyMessage(key: KeyObject, message: Buffer, signature: string): boolean {
  const bytes = Buffer.from(signature, 'base64');
  return bytes.toString('base64') === signature && verify(ALGORITHM, message, key, bytes);
}

/** The five parameters of the `Authorization` header; `timestamp` in Unix seconds. */
export interface Authorization {
  mchid: string;
  serial_no: string;
  nonce_str: string;
  timestamp: string | number;
  signature: string;
}

/** Value of the `Authorization` header of an APIv3 request. */
export function authorization({ mchid, serial_no, nonce_str, timestamp, signature }: Authorization): string {
  return `${SCHEME} mchid="${mchid}",nonce_str="${nonce_str}",signature="${signature}",timestamp="${timestamp}",serial_no="${serial_no}"`;
}

const PARAMETERS = ['mchid', 'serial_no', 'nonce_str', 'timestamp', 'signature'] as const;

/** The parameters of an `Authorization` header in any order; `undefined` unless it has all five, each once, and no other. */
export function parseAuthorization(header: string): Record<(typeof PARAMETERS)[number], string> | undefined {
  if (!header.startsWith(`${SCHEME} `)) return undefined;
  const found = new Map<string, string>();
  for (const part of header.slice(SCHEME.length + 1).split(',')) {
    const [, name, value] = /^\s*(\w+)="([^"]*)"\s*$/.exec(part) ?? [];
    if (name === undefined || value === undefined || found.has(name)) return undefined;
    found.set(name, value);
  }
  const [mchid, serial_no, nonce_str, timestamp, signature] = PARAMETERS.map((name) => found.get(name));
  if (found.size !== PARAMETERS.length || !mchid || !serial_no || !nonce_str || !timestamp || !signature)
    return undefined;
  return { mchid, serial_no, nonce_str, timestamp, signature };
}
