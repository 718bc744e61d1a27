import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { certificateSerial, selfSignedCertificate } from '../sandbox/certificate.ts';
import { makeKeys, merchantsFile } from '../sandbox/keys.ts';
import { MerchantsFileError } from '../wechatpay/merchants_file.ts';
import { Merchants } from '../worker/merchants.ts';
import { Metrics } from '../worker/metrics.ts';
import { keysIn } from './made_keys.ts';

const [FIRST, SECOND] = ['1900000011', '1900000012'];

let directory: string;
let file: string;
let settings: Record<string, unknown>;
let lines: string[];
let merchants: Merchants;

const add = (fields: object, message?: string): void => void lines.push(JSON.stringify([fields, message]));
const log = { debug: add, info: add, warn: add, error: add } as never;
const served = () => merchants.all().map(({ mchid }) => mchid);

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'policy-sync-merchants-'));
  const keys = await makeKeys(await keysIn(join(directory, 'keys')));
  const [merchant] = Object.values(merchantsFile(keys, join(directory, 'keys'), 'http://127.0.0.1:9'));
  settings = { ...merchant };
});
after(() => rm(directory, { recursive: true, force: true }));

const write = (content: object | string): Promise<void> =>
  writeFile(file, typeof content === 'string' ? content : JSON.stringify(content), { mode: 0o600 });

beforeEach(async () => {
  file = join(await mkdtemp(join(directory, 'file-')), 'merchants.json');
  lines = [];
  merchants = new Merchants(file, log);
  await write({ [FIRST]: settings });
  await merchants.load();
});

describe('the merchants file', () => {
  it('that is not there at the start is an error', async () => {
    await assert.rejects(new Merchants(join(directory, 'none.json'), log).load(), MerchantsFileError);
  });

  it('edited: a merchant added is served, one removed is not', async () => {
    await write({ [SECOND]: settings });
    await merchants.look();
    assert.deepEqual(served(), [SECOND]);
    assert.equal(merchants.client(FIRST), undefined);
    assert.ok(merchants.client(SECOND));
  });

  it('not edited is not read again: its clients stay', async () => {
    const client = merchants.client(FIRST);
    await merchants.look();
    assert.equal(merchants.client(FIRST), client);
  });

  it('broken as a whole keeps what was, and is told of once', async () => {
    const client = merchants.client(FIRST);
    await write('{ "1900000011": ');
    const before = lines.length;
    await merchants.look();
    await merchants.look();
    assert.equal(merchants.client(FIRST), client);
    assert.equal(lines.length, before + 1);
    await write({ [FIRST]: settings, [SECOND]: settings });
    await merchants.look();
    assert.deepEqual(served(), [FIRST, SECOND]);
  });

  it('with a fault in one merchant keeps its last good settings, and takes the others’', async () => {
    const client = merchants.client(FIRST);
    await write({ [FIRST]: { ...settings, wechatpay_keys: [] }, [SECOND]: settings });
    await merchants.look();
    assert.equal(merchants.client(FIRST), client);
    assert.ok(merchants.client(SECOND));
    assert.ok(lines.some((line) => line.includes(FIRST) && line.includes('last good settings go on')));
  });

  it('holds the calls of a paused merchant, whose queue is served on', async () => {
    await write({ [FIRST]: { ...settings, paused: true } });
    await merchants.look();
    assert.equal(merchants.client(FIRST), 'paused');
    assert.deepEqual(served(), [FIRST]);
    await write({ [FIRST]: settings });
    await merchants.look();
    assert.equal(typeof merchants.client(FIRST), 'object');
  });

  it('with a certificate that has ended serves its merchant on, warns, and tells its end in the metrics', async () => {
    const keys = await makeKeys(join(directory, 'keys'));
    const serial = certificateSerial();
    const ended = join(directory, 'ended.pem');
    await writeFile(
      ended,
      selfSignedCertificate(keys.merchant_private_key, FIRST, serial, new Date('2015-01-01T00:00:00Z')),
    );
    const [key] = settings.merchant_keys as [object];
    await write({
      [FIRST]: { ...settings, merchant_keys: [{ ...key, serial_no: serial, certificate_file: ended }] },
    });
    await merchants.look();
    assert.equal(typeof merchants.client(FIRST), 'object');
    assert.deepEqual(merchants.held(), []);
    assert.ok(
      lines.some((line) => /certificate_file: expected a certificate in force, found one that ended/.test(line)),
    );
    const { registry } = new Metrics(() => merchants.all());
    const end = new RegExp(`expiry_timestamp_seconds\\{mchid="${FIRST}",serial_no="${serial}"\\} (\\d+)`);
    const [, ends] = end.exec(await registry.metrics()) ?? [];
    assert.ok(Number(ends) < Date.now() / 1000, `ends at ${ends}`);
  });

  it('unchanged, but a key that it names replaced in its place: calls sign with the new one', async () => {
    const own = join(directory, 'replaced');
    await mkdir(own);
    const dir = join(own, 'keys');
    const first = await makeKeys(await keysIn(dir));
    const [merchant] = Object.values(merchantsFile(first, dir, 'http://127.0.0.1:9'));
    await write({ [FIRST]: { ...merchant, merchant_keys: [{ serial_no: 'AB', private_key_file: 'key.pem' }] } });
    const pem = { type: 'pkcs8', format: 'pem' } as const;
    const put = (keys: typeof first): Promise<void> =>
      writeFile(join(file, '..', 'key.pem'), keys.merchant_private_key.export(pem), { mode: 0o600 });
    await put(first);
    await merchants.look();
    const client = merchants.client(FIRST);
    await put(await makeKeys(join(own, 'others')));
    await merchants.look();
    assert.ok(merchants.client(FIRST));
    assert.notEqual(merchants.client(FIRST), client);
  });

  it('puts nothing of a key into the log', () => {
    assert.ok(lines.length > 0);
    for (const line of lines) assert.doesNotMatch(line, /PRIVATE|KEY-----|api_v3/);
  });
});
