import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { assertGone, firstLine, folder, or, output, root, text } from './embedded_fixture.ts';

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
    for (const name of ['with-packages.mjs', 'early_build.mjs', 'lock.mjs', 'guard.mjs', 'path.mjs']) {
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
