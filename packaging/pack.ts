// npm run pack: builds, and packs two tarballs into out/: `wechatpay-policy-sync`, and `wechatpay-policy-sync-client` for
// systems that only open policies and send them messages. Checks both as their users' tools will read them.
import { spawnSync } from 'node:child_process';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { closureOf } from './closure.ts';
import { brokenLinks } from './links.ts';

interface Manifest {
  name: string;
  description: string;
  exports: Record<string, unknown>;
  dependencies: Record<string, string>;
  [field: string]: unknown;
}

const root = fileURLToPath(new URL('..', import.meta.url));
const out = join(root, 'out');
/** What the SDK loads by its path. */
const CONVERTERS = ['codec/payload_converter', 'codec/failure_converter'];
/**
 * Imported by nobody here. `light-my-request` is kept at the version whose cookie package runs on Node 20: npm warns of a
 * later one at every install there. `@types/ms` is what the types of @temporalio/common lack.
 */
const FOR_OTHERS = ['@types/ms', 'light-my-request'];

const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Manifest;
const README = `# ${manifest.name}-client

Opens insurance policies that \`${manifest.name}\` keeps in step with WeChat Pay, sends them messages and asks where they
stand. The same as the main entry of that package, without the worker.

\`\`\`js
import { connectPolicyClient } from '${manifest.name}-client';

const policies = await connectPolicyClient(); // TEMPORAL_*, POLICY_SYNC_KEYS
await policies.cancel({ mchid: '1900000001', out_insurance_no: 'A20260101000001' }, { event_id: 'surrender-9' });
await policies.close();
\`\`\`
`;

await rm(out, { recursive: true, force: true });
await mkdir(out);
run('npm', ['run', '--silent', 'build']);
await checkDependencies();
await pack(root);
await pack(await stageClient());

/** What is installed with us is what is imported, no more. */
async function checkDependencies(): Promise<void> {
  const rooms = ['client', 'worker', 'sandbox', 'wechatpay', 'policy'].map((room) => `${room}/index`);
  const { packages } = await closureOf(join(root, 'dist'), [...rooms, ...CONVERTERS, 'command/main']);
  const found = [...packages, ...FOR_OTHERS].sort().join(', ');
  const declared = Object.keys(manifest.dependencies).sort().join(', ');
  if (found !== declared) fail(`package.json: expected the dependencies ${found}, found ${declared}`);
}

/** The folder of the client's package: the client and the schemas, all that these load, and nothing else. */
async function stageClient(): Promise<string> {
  const { files, packages } = await closureOf(join(root, 'dist'), ['client/index', 'policy/index', ...CONVERTERS]);
  const folder = join(out, 'client');
  for (const file of files) await cp(join(root, 'dist', file), join(folder, 'dist', file));
  for (const file of ['LICENSE', 'CHANGELOG.md']) await cp(join(root, file), join(folder, file));
  const { bin: _bin, scripts: _scripts, devDependencies: _devDependencies, ...rest } = manifest;
  const own: Manifest = {
    ...rest,
    name: `${manifest.name}-client`,
    description: `The client of ${manifest.name} by itself, without the worker.`,
    exports: pick(manifest.exports, ['.', './policy', './package.json']),
    dependencies: pick(manifest.dependencies, [...packages, '@types/ms']),
  };
  await writeFile(join(folder, 'package.json'), `${JSON.stringify(own, null, 2)}\n`);
  await writeFile(join(folder, 'README.md'), README);
  return folder;
}

function pick<T>(from: Record<string, T>, names: readonly string[]): Record<string, T> {
  return Object.fromEntries(Object.entries(from).filter(([name]) => names.includes(name)));
}

async function pack(folder: string): Promise<void> {
  const told = run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', out, folder]);
  const [{ filename, size, unpackedSize, entryCount, files }] = JSON.parse(told) as [Packed];
  const paths = files.map(({ path }) => path);
  const broken = await brokenLinks(folder, paths);
  if (broken.length > 0) fail(`links to what is not in the package:\n${broken.join('\n')}`);
  const tarball = join(out, filename);
  const { messages, pkg } = await publint({ pack: { tarball: (await readFile(tarball)).buffer as ArrayBuffer } });
  if (messages.length > 0) fail(messages.map((message) => formatMessage(message, pkg)).join('\n'));
  run('npm', ['exec', '--no', '--', 'attw', tarball, '--profile', 'esm-only', '--format', 'ascii', '--no-emoji']);
  console.log(`${filename}: ${size} bytes packed, ${unpackedSize} unpacked, ${entryCount} files`);
}

interface Packed {
  filename: string;
  size: number;
  unpackedSize: number;
  entryCount: number;
  files: { path: string }[];
}

function run(command: string, args: string[]): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: root, encoding: 'utf8' });
  if (status !== 0) fail(`${[command, ...args].join(' ')}\n${stdout}${stderr}`);
  return stdout;
}

function fail(reason: string): never {
  console.error(reason);
  process.exit(1);
}
