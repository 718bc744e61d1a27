// npm run test:consumers: installs the packed tarballs into the projects of test/consumers/, each in a new folder outside of
// the checkout, and runs them on every Node that is supported. With arguments, the projects of those names alone.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { makeKey } from '../codec/keys.ts';
import { cacheFolder } from '../embedded/cache.ts';
import { startServers } from '../embedded/servers.ts';
import { buildWorkflows } from '../worker/bundle.ts';
import { run } from './run_command.ts';

const NODES = ['20', '22', '24', '26'];
const MAIN = 'wechatpay-policy-sync';
const CLIENT = `${MAIN}-client`;

interface Consumer {
  name: string;
  packages: string[];
  /** How npm installs it. */
  options?: string[];
  /** Runs once, on this Node. */
  build?: string[];
  /** Arguments of Node. */
  main: string[];
  /** Measures something, once; fails where it is too much. */
  measure?: string;
  /** How much may be installed. */
  mostMb?: number;
}

const CONSUMERS: readonly Consumer[] = [
  { name: 'typescript', packages: [MAIN, CLIENT], build: ['run', 'build'], main: ['built/main.js'] },
  {
    name: 'esm',
    packages: [CLIENT],
    options: ['--omit=dev'],
    main: ['main.js'],
    measure: 'import_ratio.js',
    mostMb: 60,
  },
  { name: 'sandbox', packages: [MAIN], main: ['--test', 'main.test.js'] },
  { name: 'worker', packages: [MAIN], options: ['--omit=dev', '--omit=optional'], main: ['main.js'] },
];

const root = fileURLToPath(new URL('..', import.meta.url));
const log = (line: string): void => console.error(line);
const names = process.argv.slice(2);
const chosen = CONSUMERS.filter(({ name }) => names.length === 0 || names.includes(name));
const directory = await mkdtemp(join(tmpdir(), 'policy-sync-consumers-'));

try {
  console.log((await run('npm', ['run', '--silent', 'pack'], { cwd: root })).stdout.trimEnd());
  const nodes = await Promise.all(NODES.map(findNode));
  const servers = await startServers({ log, directory: join(directory, 'servers'), useEnvironment: false });
  try {
    const { buildId } = await buildWorkflows(true);
    const env = {
      ...process.env,
      TEMPORAL_ADDRESS: servers.temporal.address,
      MONGODB_URI: servers.mongo.uri,
      POLICY_SYNC_KEYS: makeKey('consumers'),
      BUILD_ID: buildId,
    };
    for (const consumer of chosen) await tryConsumer(consumer, nodes, env);
  } finally {
    await servers.stop();
  }
} catch (error) {
  const { stdout = '', stderr = '', message } = error as { stdout?: string; stderr?: string; message: string };
  console.error(`${stdout}${stderr}npm run test:consumers: ${message}`);
  process.exitCode = 1;
} finally {
  await rm(directory, { recursive: true, force: true });
}

async function tryConsumer(consumer: Consumer, nodes: readonly string[], env: NodeJS.ProcessEnv): Promise<void> {
  const cwd = join(directory, consumer.name);
  await cp(join(root, 'test', 'consumers', consumer.name), cwd, { recursive: true });
  const tarballs = await Promise.all(consumer.packages.map(tarballOf));
  const installed = await run('npm', ['install', '--no-audit', '--no-fund', ...(consumer.options ?? []), ...tarballs], {
    cwd,
  });
  if (installed.stderr.includes('EBADENGINE')) throw new Error(`npm warns of a package: ${installed.stderr}`);
  if (consumer.build) await run('npm', consumer.build, { cwd });
  for (const node of nodes) {
    const { stdout: version } = await run(node, ['--version']);
    await run(node, consumer.main, { cwd, env, timeout: 180_000 });
    console.log(`✓ ${consumer.name} on Node ${version.trim()}`);
  }
  if (consumer.measure) console.log(`  ${(await run(process.execPath, [consumer.measure], { cwd })).stdout.trim()}`);
  const size = sizeOf(join(cwd, 'node_modules'));
  console.log(`  ${consumer.name}: ${size} MB installed`);
  const { mostMb = Number.POSITIVE_INFINITY } = consumer;
  // A size that could not be told is NaN.
  if (!(size <= mostMb)) throw new Error(`${consumer.name}: expected at most ${mostMb} MB installed, found ${size}`);
}

async function tarballOf(name: string): Promise<string> {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
  return join(root, 'out', `${name}-${version}.tgz`);
}

/** A Node of a major version, from npm: the newest when it was first fetched, kept in the user's cache folder. */
async function findNode(major: string): Promise<string> {
  const name = `node-${process.platform}-${process.arch}`;
  const folder = join(cacheFolder(), `${name}-${major}`);
  const node = join(folder, 'node_modules', name, 'bin', 'node');
  if (existsSync(node)) return node;
  await mkdir(folder, { recursive: true });
  await run('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--prefix', folder, `${name}@${major}`]);
  return node;
}

function sizeOf(folder: string): number {
  return Number(spawnSync('du', ['-sm', folder], { encoding: 'utf8' }).stdout.split('\t')[0]);
}
