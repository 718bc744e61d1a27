import {
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  randomBytes,
  randomInt,
  X509Certificate,
} from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { certificateSerial, selfSignedCertificate } from './certificate.ts';

const MERCHANT_PRIVATE_KEY = 'merchant_private_key.pem';
const MERCHANT_CERTIFICATE = 'merchant_certificate.pem';
const WECHATPAY_PRIVATE_KEY = 'wechatpay_private_key.pem';
const WECHATPAY_PUBLIC_KEY = 'wechatpay_public_key.pem';
const API_V3_KEY = 'api_v3_key.txt';
const SANDBOX = 'sandbox.json';

const MCHID = '1900000001';

const sandboxSchema = z.object({
  mchid: z.string().min(1),
  merchant_serial_no: z.string().min(1),
  wechatpay_public_key_id: z.string().min(1),
  api_v3_key: z.string().length(32),
});

/** What a sandbox and its merchant know of each other: `sandbox.json`, and the keys beside it. */
export interface SandboxKeys extends z.output<typeof sandboxSchema> {
  merchant_private_key: KeyObject;
  merchant_certificate: X509Certificate;
  wechatpay_private_key: KeyObject;
  wechatpay_public_key: KeyObject;
}

/** The folder of keys cannot be made or read. `message` is one line for people, without anything of a key. */
export class KeysFolderError extends Error {
  override readonly name = 'KeysFolderError';
}

/**
 * The keys in `dir`; made there (folder 0700, private files 0600) where `sandbox.json` is missing. Never writes over a
 * file: it may be somebody's real key. Throws `KeysFolderError`.
 */
export async function makeKeys(dir: string): Promise<SandboxKeys> {
  if (!(await hasKeys(dir))) await writeKeys(dir);
  return readKeys(dir);
}

/** The keys that `makeKeys` left in `dir`. Throws `KeysFolderError`. */
export async function readKeys(dir: string): Promise<SandboxKeys> {
  const read = async <T>(name: string, parse: (text: string) => T): Promise<T> => {
    const text = await readFile(join(dir, name), 'utf8').catch((error) => refuse(dir, name, error));
    try {
      return parse(text);
    } catch {
      // The parser's error may quote the key.
      throw new KeysFolderError(
        `${resolve(dir, name)}: expected what this sandbox wrote, found something else: name another folder`,
      );
    }
  };
  return {
    ...(await read(SANDBOX, (text) => sandboxSchema.parse(JSON.parse(text)))),
    merchant_private_key: await read(MERCHANT_PRIVATE_KEY, createPrivateKey),
    merchant_certificate: await read(MERCHANT_CERTIFICATE, (text) => new X509Certificate(text)),
    wechatpay_private_key: await read(WECHATPAY_PRIVATE_KEY, createPrivateKey),
    wechatpay_public_key: await read(WECHATPAY_PUBLIC_KEY, createPublicKey),
  };
}

/**
 * The content of the file that `WECHATPAY_MERCHANTS` names, for a merchant of the sandbox at `url` whose keys are in
 * `dir`. Paths in it are absolute, so that it may be kept anywhere.
 */
export function merchantsFile(keys: SandboxKeys, dir: string, url: string): Record<string, object> {
  const at = (name: string): string => resolve(dir, name);
  return {
    [keys.mchid]: {
      merchant_keys: [
        {
          serial_no: keys.merchant_serial_no,
          private_key_file: at(MERCHANT_PRIVATE_KEY),
          certificate_file: at(MERCHANT_CERTIFICATE),
        },
      ],
      wechatpay_keys: [{ id: keys.wechatpay_public_key_id, public_key_file: at(WECHATPAY_PUBLIC_KEY) }],
      api_v3_key_file: at(API_V3_KEY),
      base_urls: [url],
    },
  };
}

async function hasKeys(dir: string): Promise<boolean> {
  return readFile(join(dir, SANDBOX)).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== 'ENOENT' && refuse(dir, SANDBOX, error),
  );
}

async function writeKeys(dir: string): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 }).catch((error) => refuse(dir, '', error));
  const [merchant, wechatpay] = await Promise.all([
    rsa('rsa', { modulusLength: 2048 }),
    rsa('rsa', { modulusLength: 2048 }),
  ]);
  const [merchant_serial_no, api_v3_key] = [certificateSerial(), randomBytes(16).toString('hex')];
  const certificate = selfSignedCertificate(merchant.privateKey, MCHID, merchant_serial_no, new Date());
  const sandbox = { mchid: MCHID, merchant_serial_no, wechatpay_public_key_id: publicKeyId(), api_v3_key };
  const write = (name: string, text: string | Buffer, mode = 0o600): Promise<void> =>
    writeFile(join(dir, name), text, { mode, flag: 'wx' }).catch((error) => refuse(dir, name, error));
  await write(MERCHANT_PRIVATE_KEY, merchant.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await write(MERCHANT_CERTIFICATE, certificate, 0o644);
  await write(WECHATPAY_PRIVATE_KEY, wechatpay.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await write(WECHATPAY_PUBLIC_KEY, wechatpay.publicKey.export({ type: 'spki', format: 'pem' }), 0o644);
  await write(API_V3_KEY, api_v3_key);
  // Last: a folder that has it has them all.
  await write(SANDBOX, `${JSON.stringify(sandbox, null, 2)}\n`);
}

const rsa = promisify(generateKeyPair);

// As WeChat Pay's are: 32 digits, the merchant's number and the day among them.
function publicKeyId(): string {
  const day = new Date().toISOString().slice(0, 10).replaceAll('-', '');
  return `PUB_KEY_ID_01${MCHID}${day}00${String(randomInt(1e10)).padStart(10, '0')}`;
}

function refuse(dir: string, name: string, error: NodeJS.ErrnoException): never {
  const path = resolve(dir, name);
  if (error.code === 'EEXIST')
    throw new KeysFolderError(
      `${path}: there already, but ${resolve(dir, SANDBOX)} is missing: remove it or name another folder`,
    );
  throw new KeysFolderError(`${path}: expected a folder of sandbox keys, or room for one, found ${error.code}`);
}
