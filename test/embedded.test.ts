import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { firstLine, folder, kill, output, script } from './embedded_fixture.ts';

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
        import { findOnPath } from './embedded/path.mjs';
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
