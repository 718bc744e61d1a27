// There may be no Docker engine: what the Dockerfile does to the files is done here, by its own commands, and what comes of
// it runs as the image would, by a user without rights who can write nowhere.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, it } from 'node:test';
import { connectPolicyClient } from '../client/connect.ts';
import { makeKey } from '../codec/keys.ts';
import { findOnPath } from '../embedded/path.mjs';
import { freePort } from '../embedded/ports.ts';
import { merchantsFile } from '../sandbox/keys.ts';
import { startSandbox } from '../sandbox/server.ts';
import { makeNamespace, until } from './client_namespace.ts';
import { check, ROOT, read } from './deploy_fixture.ts';
import { recordOf, uniqueNumber } from './fixtures.ts';
import { keysIn } from './made_keys.ts';
import { startDatabase } from './storage_fixture.ts';

const NOBODY = 65_534;
const ends: (() => Promise<unknown>)[] = [];
let directory: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'policy-sync-image-'));
  ends.push(() => rm(directory, { recursive: true, force: true }));
});
after(async () => {
  for (const end of ends.reverse()) await end();
});

/** Commands of the Dockerfile's build stage, but for the install of what is needed to build: it is here already. */
async function commands(): Promise<string[]> {
  const [build = ''] = (await read('deploy/docker/Dockerfile')).replaceAll('\\\n', ' ').split(/^FROM .*slim$/m);
  const runs = [...build.matchAll(/^RUN (.*)$/gm)].map(([, command = '']) => command);
  assert.equal(runs.length, 3);
  return runs.slice(1).map((command) => command.replaceAll(/(?<= )\/(app|tmp)\b/g, `${directory}/$1`));
}

/** What the Dockerfile copies, as `.dockerignore` has it. */
async function copyContext(to: string): Promise<void> {
  const ignored = (await read('.dockerignore')).split('\n').filter((line) => line && !/^[#*]/.test(line));
  const rooms = (await readdir(ROOT)).filter((name) => name !== 'node_modules' && !ignored.includes(name));
  for (const name of rooms)
    await cp(join(ROOT, name), join(to, name), {
      recursive: true,
      filter: (file) => !file.includes('node_modules') && !file.endsWith(join('deploy', 'secrets')),
    });
  await symlink(join(ROOT, 'node_modules'), join(to, 'node_modules'));
}

const setpriv = findOnPath('setpriv');
const SKIP = process.getuid?.() === 0 && setpriv ? false : 'only root, with setpriv, can become a user without rights';

it('what the Dockerfile makes carries a policy, as a user who can write nowhere, and ends in good order', {
  skip: SKIP,
}, async () => {
  const [source, app] = ['src', 'app'].map((name) => join(directory, name)) as [string, string];
  await mkdir(join(directory, 'tmp'));
  await copyContext(source);
  const [pack = '', install = ''] = await commands();
  await check('sh', ['-ec', `cd ${source}; ${pack}`]);
  await check('sh', ['-ec', `cd ${app}; ${install}`]);
  assert.ok(!(await readdir(join(app, 'node_modules'))).includes('typescript'), 'what only builds is left out');
  assert.equal((await stat(join(app, 'bin/policy-sync.mjs'))).mode & 0o022, 0);

  const temporal = await makeNamespace();
  ends.push(() => temporal.stop());
  const database = await startDatabase();
  ends.push(() => database.stop());
  const secrets = join(directory, 'secrets');
  const sandbox = await startSandbox({ keys: await keysIn(join(secrets, 'keys')), strict: true });
  ends.push(() => sandbox.close());
  const key = makeKey('k1');
  const merchants = merchantsFile(sandbox.keys, join(secrets, 'keys'), sandbox.url);
  for (const [name, content] of [
    ['merchants.json', JSON.stringify(merchants)],
    ['keys.txt', `${key}\n`],
    ['uri.txt', `${database.uri}\n`],
  ] as const)
    await writeFile(join(secrets, name), content);
  await check('chown', ['-R', `${NOBODY}:${NOBODY}`, secrets]);
  await chmod(directory, 0o755);

  const port = await freePort();
  const { TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE } = temporal.env;
  const env = {
    PATH: process.env.PATH,
    ...{ NODE_ENV: 'production', TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE },
    MONGODB_URI_FILE: join(secrets, 'uri.txt'),
    POLICY_SYNC_KEYS_FILE: join(secrets, 'keys.txt'),
    WECHATPAY_MERCHANTS: join(secrets, 'merchants.json'),
    POLICY_SYNC_METRICS_PORT: String(port),
  };
  const rights = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--no-new-privs', '--bounding-set=-all'];
  const worker: ChildProcess = spawn(
    setpriv ?? '',
    [...rights, process.execPath, join(app, 'bin/policy-sync.mjs'), 'worker', '--promote'],
    { cwd: app, env, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  ends.push(async () => worker.exitCode ?? worker.kill('SIGKILL'));
  const ended = Promise.all([once(worker, 'close'), text(worker.stderr as NodeJS.ReadableStream)]);
  await until(async () => worker.exitCode !== null || (await fetch(`http://127.0.0.1:${port}/healthz`)).ok);
  assert.equal(worker.exitCode, null, 'it ended by itself');

  const client = await connectPolicyClient({ env: { ...temporal.env, POLICY_SYNC_KEYS: key }, timeout: 60_000 });
  ends.push(() => client.close());
  const out_insurance_no = uniqueNumber('I');
  const { mchid } = sandbox.keys;
  const record = recordOf({ out_insurance_no }, { mchid });
  await fetch(`${sandbox.url}/_sandbox/policies/${out_insurance_no}`, {
    method: 'PUT',
    body: JSON.stringify(record.policy),
    headers: { 'content-type': 'application/json' },
  });
  await until(() => client.isServed(mchid), 90_000);
  await client.openPolicy(record);
  await until(async () => (await client.status({ mchid, out_insurance_no })).sync === 'SYNCED');
  worker.kill('SIGTERM');
  const [[code], said] = await ended;
  assert.equal(code, 0, said);
  assert.doesNotMatch(said, /EACCES|EROFS|EPERM/);
});
