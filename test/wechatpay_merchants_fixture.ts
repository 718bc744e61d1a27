import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import type { KeyObject } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readMerchants } from '../wechatpay/merchants_file.ts';
import { KEY_ID, MERCHANT_SERIAL, merchantPair, strangerPair, wechatpayPair } from './wechatpay_counterpart.ts';

/** The keys and certificates that merchants files name; there until the process ends. */
export const folder = mkdtempSync(join(tmpdir(), 'merchants-'));

process.once('exit', () => rmSync(folder, { recursive: true }));

export function put(name: string, content: string, mode = 0o600): string {
  writeFileSync(join(folder, name), content);
  chmodSync(join(folder, name), mode);
  return name;
}

export const privatePem = (key: KeyObject): string => String(key.export({ type: 'pkcs8', format: 'pem' }));

export const publicPem = (key: KeyObject): string => String(key.export({ type: 'spki', format: 'pem' }));

export const openssl = (...args: string[]): void =>
  void execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });

/** A self-signed certificate of the key in `keyFile`, in force for 30 days from now on. */
export function certificate(name: string, keyFile: string, serial: string): void {
  openssl(
    'req',
    '-x509',
    '-new',
    '-key',
    keyFile,
    '-subj',
    '/CN=test',
    '-days',
    '30',
    '-set_serial',
    `0x${serial}`,
    '-out',
    name,
  );
}

/** One that ended with the year 2020; only `openssl ca` makes certificates of the past. */
export function pastCertificate(name: string, keyFile: string, serial: string): void {
  put('serial', serial);
  put('index', '');
  const policy = '[policy]\ncommonName=supplied\n';
  put('ca.cnf', `[own]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=policy\n${policy}`);
  openssl('req', '-new', '-key', keyFile, '-subj', '/CN=test', '-out', 'request.csr');
  const span = ['-startdate', '20200101000000Z', '-enddate', '20210101000000Z'];
  openssl(
    'ca',
    '-batch',
    '-selfsign',
    '-name',
    'own',
    '-config',
    'ca.cnf',
    '-keyfile',
    keyFile,
    '-in',
    'request.csr',
    ...span,
    '-out',
    name,
  );
}

export const PLATFORM_SERIAL = '4E1C8A5B';

export const SECRET = 'abcdefghijklmnopqrstuvwxyz012345';

put('merchant_private_key.pem', privatePem(merchantPair.privateKey));
put('merchant_pkcs1.pem', String(merchantPair.privateKey.export({ type: 'pkcs1', format: 'pem' })));
put('stranger_private_key.pem', privatePem(strangerPair.privateKey));
put('wechatpay_private_key.pem', privatePem(wechatpayPair.privateKey));
put('wechatpay_public_key.pem', publicPem(wechatpayPair.publicKey), 0o644);
put(
  'api_v3_key',
  `${SECRET}
`,
);
certificate('merchant_certificate.pem', 'merchant_private_key.pem', MERCHANT_SERIAL);
certificate('platform_certificate.pem', 'wechatpay_private_key.pem', PLATFORM_SERIAL);
pastCertificate('past_certificate.pem', 'wechatpay_private_key.pem', PLATFORM_SERIAL);

export const merchantKey = { serial_no: MERCHANT_SERIAL, private_key_file: 'merchant_private_key.pem' };

export const wechatpayKey = { id: KEY_ID, public_key_file: 'wechatpay_public_key.pem' };

export const least = { merchant_keys: [merchantKey], wechatpay_keys: [wechatpayKey] };

export function read(merchants: unknown): ReturnType<typeof readMerchants> {
  const text = typeof merchants === 'string' ? merchants : JSON.stringify(merchants);
  return readMerchants(join(folder, put('merchants.json', text)));
}

/** The one line that the settings of a merchant are refused with. */
export async function faultOf(settings: object): Promise<string> {
  const { merchants, faults } = await read({ '1900000001': { ...least, ...settings } });
  assert.equal(merchants.size, 0);
  assert.equal(faults.length, 1, JSON.stringify(faults));
  const { mchid, message } = faults[0] ?? { mchid: '', message: '' };
  assert.equal(mchid, '1900000001');
  assert.match(message, /^WECHATPAY_MERCHANTS: 1900000001[.:]/);
  assertShowable(message);
  return message;
}

export function assertShowable(message: string): void {
  assert.ok(!/[\r\n]/.test(message), message);
  assert.ok(!message.includes(SECRET) && !/-----BEGIN|MII[A-Za-z0-9+/]{10}/.test(message), message);
}
