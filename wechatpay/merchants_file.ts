import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { utf8In } from '../policy/encoding.ts';
import { foundKind, OWN_WORDS } from '../policy/expected.ts';
import { brokenLine } from '../policy/json_fault.ts';
import { apiV3KeyIn, certificateIn, type Findings, type NamedFile, privateKeyIn, publicKeyIn } from './key_file.ts';
import type { Merchant, MerchantKey, WechatPayKey } from './merchant.ts';
import { type MerchantSettings, merchantSettingsSchema } from './merchant_settings.ts';

const SETTING = 'WECHATPAY_MERCHANTS';

/** The file as a whole cannot be used. `message` is one line for people, without a secret. */
export class MerchantsFileError extends Error {
  override readonly name = 'MerchantsFileError';
}

export interface MerchantsFile {
  /** Usable merchants by mchid. */
  merchants: Map<string, Merchant>;
  /** What makes a merchant unusable; it does not take the others down. One line each, naming the setting. */
  faults: { mchid: string; message: string }[];
  /** What should be set right, but can be worked with. One line each, naming the setting. */
  warnings: string[];
}

/**
 * Reads the JSON file that `WECHATPAY_MERCHANTS` names, and every key that it names, relative to its folder. Throws
 * `MerchantsFileError` only when the file as a whole is unusable. No message holds anything of a key.
 */
export async function readMerchants(file: string): Promise<MerchantsFile> {
  const whole = resolve(file);
  // `$schema` is for editors.
  const entries = Object.entries(await jsonOf(whole)).filter(([mchid]) => mchid !== '$schema');
  const read: MerchantsFile = { merchants: new Map(), faults: [], warnings: [] };
  if (entries.length === 0) read.warnings.push(`${SETTING}: expected a merchant in ${whole}, found none`);
  for (const [mchid, settings] of entries) {
    const findings: Findings = { faults: [], warnings: [] };
    const merchant = await merchantOf(mchid, settings, dirname(whole), findings);
    if (merchant) read.merchants.set(mchid, merchant);
    read.faults.push(...findings.faults.map((fault) => ({ mchid, message: `${SETTING}: ${fault}` })));
    read.warnings.push(...findings.warnings.map((warning) => `${SETTING}: ${warning}`));
  }
  return read;
}

async function jsonOf(file: string): Promise<object> {
  const refused = (expected: string, found: string): never => {
    throw new MerchantsFileError(`${SETTING}: expected ${expected} at ${file}, found ${found}`);
  };
  const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) =>
    refused('a readable JSON file', error.code === 'ENOENT' ? 'none' : (error.code ?? 'one that cannot be read')),
  );
  const { text, wrongLine } = utf8In(bytes);
  if (wrongLine !== undefined) return refused('text in UTF-8', `other bytes in line ${wrongLine}`);
  const value = parsedOr(text, (where) => refused('JSON', `a fault${where}`));
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
  return isObject
    ? value
    : refused('a JSON object of merchants by mchid', Array.isArray(value) ? 'a list' : typeof value);
}

function parsedOr(text: string, refused: (where: string) => never): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which may hold a key pasted into the wrong place.
    const line = brokenLine(text);
    return refused(line === undefined ? ': it ends too soon' : ` in line ${line}`);
  }
}

async function merchantOf(
  mchid: string,
  input: unknown,
  folder: string,
  findings: Findings,
): Promise<Merchant | undefined> {
  if (!/^\d{8,10}$/.test(mchid)) findings.faults.push(`${mchid}: expected a merchant id of 8 to 10 digits`);
  const result = merchantSettingsSchema.safeParse(input, OWN_WORDS);
  for (const issue of result.error?.issues ?? [])
    findings.faults.push(`${[mchid, ...issue.path].map(String).join('.')}: ${issue.message}${foundKind(issue, input)}`);
  if (!result.success) return undefined;
  const settings = result.data;
  warnOfClearText(mchid, settings, findings);
  const fileAt = (field: string, path: string, secret: boolean): NamedFile => ({
    setting: `${mchid}.${field}`,
    path,
    folder,
    secret,
  });
  const merchant: Merchant = {
    mchid,
    merchant_keys: await merchantKeysOf(settings, fileAt, findings),
    wechatpay_keys: await wechatpayKeysOf(settings, fileAt, findings),
    requests_per_second: settings.requests_per_second,
    base_urls: settings.base_urls,
    paused: settings.paused,
  };
  const { api_v3_key_file } = settings;
  const api_v3_key = api_v3_key_file && (await apiV3KeyIn(fileAt('api_v3_key_file', api_v3_key_file, true), findings));
  if (findings.faults.length > 0) return undefined;
  return api_v3_key ? { ...merchant, api_v3_key } : merchant;
}

type FileAt = (field: string, path: string, secret: boolean) => NamedFile;

async function merchantKeysOf(settings: MerchantSettings, fileAt: FileAt, findings: Findings): Promise<MerchantKey[]> {
  const keys: MerchantKey[] = [];
  for (const [at, { serial_no, private_key_file, certificate_file }] of settings.merchant_keys.entries()) {
    const field = `merchant_keys.${at}`;
    const private_key = await privateKeyIn(fileAt(`${field}.private_key_file`, private_key_file, true), findings);
    const named = certificate_file && fileAt(`${field}.certificate_file`, certificate_file, false);
    const certificate = named ? await certificateIn(named, findings) : undefined;
    if (private_key) keys.push({ serial_no, private_key, ...(certificate && { certificate }) });
    if (!certificate || !named) continue;
    if (certificate.serialNumber !== serial_no)
      findings.faults.push(serialFault(named.setting, 'serial_no', serial_no, certificate.serialNumber));
    if (private_key && !certificate.checkPrivateKey(private_key))
      findings.faults.push(
        `${named.setting}: expected the certificate of ${field}.private_key_file, found another key's`,
      );
  }
  return keys;
}

async function wechatpayKeysOf(
  settings: MerchantSettings,
  fileAt: FileAt,
  findings: Findings,
): Promise<WechatPayKey[]> {
  const keys: WechatPayKey[] = [];
  for (const [at, { id, public_key_file, certificate_file }] of settings.wechatpay_keys.entries()) {
    const field = `wechatpay_keys.${at}`;
    if (public_key_file !== undefined) {
      const public_key = await publicKeyIn(fileAt(`${field}.public_key_file`, public_key_file, false), findings);
      if (public_key) keys.push({ id, public_key });
    }
    if (certificate_file !== undefined) {
      const named = fileAt(`${field}.certificate_file`, certificate_file, false);
      const certificate = await certificateIn(named, findings);
      if (!certificate) continue;
      if (certificate.serialNumber !== id)
        findings.faults.push(serialFault(named.setting, 'id', id, certificate.serialNumber));
      keys.push({ id, public_key: certificate.publicKey, valid_to: new Date(certificate.validTo) });
    }
  }
  return keys;
}

function serialFault(setting: string, field: string, expected: string, found: string): string {
  return `${setting}: expected the certificate whose serial is ${field} ${expected}, found ${found}`;
}

function warnOfClearText(mchid: string, settings: MerchantSettings, findings: Findings): void {
  for (const base of settings.base_urls) {
    const { protocol, hostname } = new URL(base);
    if (protocol === 'http:' && !/^(127\.\d+\.\d+\.\d+|\[::1\]|localhost)$/.test(hostname))
      findings.warnings.push(`${mchid}.base_urls: expected https, found ${base}: addresses would travel in the clear`);
  }
}
