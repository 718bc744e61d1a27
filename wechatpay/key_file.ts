import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { resolve } from 'node:path';

/** What was found wrong while settings were read: faults make them unusable, warnings do not. One line each. */
export interface Findings {
  faults: string[];
  warnings: string[];
}

/** A file that a setting names. */
export interface NamedFile {
  /** Path of the setting, `1900000001.merchant_keys.0.private_key_file`. */
  setting: string;
  path: string;
  /** Folder that a relative path starts from. */
  folder: string;
  /** Whether others than the owner should not even read it. */
  secret: boolean;
}

const LEAST_BITS = 2048;

/** An RSA private key, PKCS#8 or PKCS#1 in PEM, not encrypted; `undefined` with a fault. */
export async function privateKeyIn(file: NamedFile, findings: Findings): Promise<KeyObject | undefined> {
  const labels = ['PRIVATE KEY', 'RSA PRIVATE KEY'];
  const key = await parsed(file, labels, 'an RSA private key in PEM, not encrypted', createPrivateKey, findings);
  return key && rsa(key, file, findings);
}

/** An RSA public key, SPKI or PKCS#1 in PEM; `undefined` with a fault. */
export async function publicKeyIn(file: NamedFile, findings: Findings): Promise<KeyObject | undefined> {
  const key = await parsed(
    file,
    ['PUBLIC KEY', 'RSA PUBLIC KEY'],
    'an RSA public key in PEM',
    createPublicKey,
    findings,
  );
  return key && rsa(key, file, findings);
}

/** An X.509 certificate of an RSA key in PEM; `undefined` with a fault. A past one is a warning. */
export async function certificateIn(file: NamedFile, findings: Findings): Promise<X509Certificate | undefined> {
  const parse = (pem: Buffer): X509Certificate => new X509Certificate(pem);
  const certificate = await parsed(file, ['CERTIFICATE'], 'an X.509 certificate in PEM', parse, findings);
  if (!certificate || !rsa(certificate.publicKey, file, findings)) return undefined;
  if (Date.parse(certificate.validTo) < Date.now())
    findings.warnings.push(
      `${file.setting}: expected a certificate in force, found one that ended on ${certificate.validTo}`,
    );
  return certificate;
}

/** The 32 bytes of an APIv3 key, a line end after them allowed; `undefined` with a fault. */
export async function apiV3KeyIn(file: NamedFile, findings: Findings): Promise<Buffer | undefined> {
  const bytes = await bytesOf(file, findings);
  if (!bytes) return undefined;
  const key = Buffer.from(bytes.toString('latin1').replace(/\r?\n$/, ''), 'latin1');
  if (key.length === 32) return key;
  findings.faults.push(
    `${file.setting}: expected the 32 bytes of the APIv3 key in ${shown(file)}, found ${key.length}`,
  );
  return undefined;
}

async function parsed<T>(
  file: NamedFile,
  labels: readonly string[],
  expected: string,
  parse: (pem: Buffer) => T,
  findings: Findings,
): Promise<T | undefined> {
  const bytes = await bytesOf(file, findings);
  if (!bytes) return undefined;
  const refused = (found: string): undefined => {
    findings.faults.push(`${file.setting}: expected ${expected} in ${shown(file)}, found ${found}`);
  };
  // Node takes a private key or a certificate for a public key as well, so the label decides.
  const [, label] = /-----BEGIN ([A-Z0-9 ]{1,40})-----/.exec(bytes.toString('latin1')) ?? [];
  if (label === undefined) return refused('no PEM');
  if (!labels.includes(label)) return refused(label);
  try {
    return parse(bytes);
  } catch {
    // The parser's error is left behind: it says nothing that people can act on, and might quote the key.
    return refused('one that cannot be read: damaged, or encrypted');
  }
}

function rsa(key: KeyObject, file: NamedFile, findings: Findings): KeyObject | undefined {
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
  if (key.asymmetricKeyType === 'rsa' && bits >= LEAST_BITS) return key;
  const found = key.asymmetricKeyType === 'rsa' ? `${bits} bits` : key.asymmetricKeyType;
  findings.faults.push(
    `${file.setting}: expected an RSA key of ${LEAST_BITS} bits or more in ${shown(file)}, found ${found}`,
  );
  return undefined;
}

async function bytesOf(file: NamedFile, findings: Findings): Promise<Buffer | undefined> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(resolve(file.folder, file.path));
    // The open file, not the path again, so that what is checked is what is read.
    const { mode } = await handle.stat();
    return allowed(mode, file, findings) ? await handle.readFile() : undefined;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    findings.faults.push(`${file.setting}: expected a readable file at ${shown(file)}, found ${FOUND[code] ?? code}`);
    return undefined;
  } finally {
    await handle?.close();
  }
}

const FOUND: Readonly<Record<string, string>> = {
  ENOENT: 'none',
  EACCES: 'one that this user may not read',
  EISDIR: 'a folder',
};

function allowed(mode: number, file: NamedFile, findings: Findings): boolean {
  if (process.platform === 'win32') return true;
  if (mode & 0o002) {
    findings.faults.push(
      `${file.setting}: expected a file that others cannot write, found mode ${octal(mode)}: chmod 600 ${shown(file)}`,
    );
    return false;
  }
  if (file.secret && mode & 0o066)
    findings.warnings.push(
      `${file.setting}: expected a file of its owner alone, found mode ${octal(mode)}: chmod 600 ${shown(file)}`,
    );
  return true;
}

function octal(mode: number): string {
  return (mode & 0o777).toString(8);
}

/** The file's path for people, unless somebody put the key itself where its path belongs. */
function shown(file: NamedFile): string {
  const isKey = /-----|[\r\n]/.test(file.path) || /^[0-9A-Za-z+/=]{32}$/.test(file.path) || file.path.length > 1024;
  return isKey ? 'a path (not shown: it looks like a key, give the path of a file)' : resolve(file.folder, file.path);
}
