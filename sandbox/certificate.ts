import { createPublicKey, type KeyObject, randomBytes, sign } from 'node:crypto';

const SEQUENCE = 0x30;
const SET = 0x31;
const BOOLEAN = 0x01;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_IDENTIFIER = 0x06;
const UTF8_STRING = 0x0c;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;

const SHA256_WITH_RSA = der(
  SEQUENCE,
  der(OBJECT_IDENTIFIER, Buffer.from('2a864886f70d01010b', 'hex')),
  Buffer.from([5, 0]),
);
const COMMON_NAME = Buffer.from('550403', 'hex');
const ORGANIZATION = Buffer.from('55040a', 'hex');
const KEY_USAGE = Buffer.from('551d0f', 'hex');
const BASIC_CONSTRAINTS = Buffer.from('551d13', 'hex');
const YEARS = 5;

/** A serial as those of API certificates are: 20 bytes, 40 hexadecimal digits in upper case. */
export function certificateSerial(): string {
  const bytes = randomBytes(20);
  // A set top bit would make the integer negative, a zero byte would be cut off.
  bytes[0] = (bytes.readUInt8(0) & 0x3f) | 0x40;
  return bytes.toString('hex').toUpperCase();
}

/**
 * An X.509 v3 certificate in PEM (RFC 5280), signed by the very key that it is of, in force for 5 years from `from`.
 * Node reads certificates but makes none. `serial`: hexadecimal, as `certificateSerial` gives it.
 */
export function selfSignedCertificate(privateKey: KeyObject, name: string, serial: string, from: Date): string {
  const until = new Date(from);
  until.setUTCFullYear(until.getUTCFullYear() + YEARS);
  const whose = der(SEQUENCE, attribute(ORGANIZATION, 'wechatpay-policy-sync sandbox'), attribute(COMMON_NAME, name));
  const certificate = der(
    SEQUENCE,
    der(VERSION, der(INTEGER, Buffer.from([2]))),
    der(INTEGER, Buffer.from(serial, 'hex')),
    SHA256_WITH_RSA,
    whose,
    der(SEQUENCE, time(from), time(until)),
    whose,
    createPublicKey(privateKey).export({ type: 'spki', format: 'der' }),
    der(EXTENSIONS, der(SEQUENCE, extension(BASIC_CONSTRAINTS, der(SEQUENCE)), extension(KEY_USAGE, usage()))),
  );
  const signature = sign('RSA-SHA256', certificate, privateKey);
  return pem(der(SEQUENCE, certificate, SHA256_WITH_RSA, der(BIT_STRING, Buffer.from([0]), signature)));
}

function der(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag]), lengthOf(content.length), content]);
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const hex = length.toString(16);
  const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  return Buffer.concat([Buffer.from([0x80 | bytes.length]), bytes]);
}

function attribute(type: Buffer, value: string): Buffer {
  return der(SET, der(SEQUENCE, der(OBJECT_IDENTIFIER, type), der(UTF8_STRING, Buffer.from(value))));
}

function extension(type: Buffer, value: Buffer): Buffer {
  const critical = der(BOOLEAN, Buffer.from([0xff]));
  return der(SEQUENCE, der(OBJECT_IDENTIFIER, type), critical, der(OCTET_STRING, value));
}

// As API certificates have it: signature, non-repudiation, encipherment of keys and of content; four bits unused.
function usage(): Buffer {
  return der(BIT_STRING, Buffer.from([4, 0xf0]));
}

// RFC 5280, 4.1.2.5: two digits of the year until 2049, four from 2050 on.
function time(at: Date): Buffer {
  const digits = at.toISOString().replace(/[-:T]|\.\d+/g, '');
  return at.getUTCFullYear() < 2050
    ? der(UTC_TIME, Buffer.from(digits.slice(2)))
    : der(GENERALIZED_TIME, Buffer.from(digits));
}

function pem(bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}
