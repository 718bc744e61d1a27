// npm test: finds, fetches or builds the servers, shares one Temporal and one MongoDB among the test files, and runs
// them, but for the long ones (*.long.test.ts). With arguments, the test files whose names contain one of them, long ones
// too. `npm run test:all` runs every file, `npm run test:all -- --rest` those that `npm test` leaves out.
// `--test-name-pattern=PATTERN` runs the tests of that name only.
import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { prepareServers, startServers } from '../embedded/servers.ts';

/** Those that take longest, begun first, so that none of them is left at the end alone. */
const FIRST = [
  'worker_holds',
  'engine',
  'engine_calls',
  'lives',
  'engine_messages',
  'engine_records',
  'faults_answers',
  'embedded_servers',
  'audit',
  'faults_rotation',
  'secrecy',
  'owed',
  'overtake',
  'worker_shutdown',
  'command_policies',
  'gateway',
  'faults_messages',
  'faults_clocks',
  'story',
];

const folder = fileURLToPath(new URL('.', import.meta.url));
const given = process.argv.slice(2);
const patterns = given.filter((argument) => argument.startsWith('--test-name-pattern='));
const wanted = given.filter((argument) => !argument.startsWith('--'));
const [all, rest] = ['--all', '--rest'].map((option) => given.includes(option));
const unknown = given.find((word) => word.startsWith('--') && !patterns.includes(word) && !/^--(all|rest)$/.test(word));

function isChosen(file: string): boolean {
  if (wanted.length > 0) return wanted.some((part) => file.includes(part));
  const isLong = file.endsWith('.long.test.ts');
  return rest ? isLong : all || !isLong;
}

async function testFiles(): Promise<string[]> {
  if (unknown) throw new Error(`unknown option ${unknown}: --all, --rest and --test-name-pattern=PATTERN are known`);
  const files = (await readdir(folder)).filter((file) => file.endsWith('.test.ts')).sort();
  const chosen = files.filter(isChosen);
  if (chosen.length === 0) throw new Error(`no test file is named like ${wanted.join(' or ')}; see test/`);
  const first = FIRST.map((name) => `${name}.test.ts`).filter((file) => chosen.includes(file));
  return [...new Set([...first, ...chosen])].map((file) => join(folder, file));
}

async function run(files: string[], env: NodeJS.ProcessEnv): Promise<number> {
  const before = ['tsx', new URL('./assert_ok.mjs', import.meta.url).href].flatMap((name) => ['--import', name]);
  const args = [...before, join(folder, 'run_files.ts'), ...patterns, ...files];
  const child = spawn(process.execPath, args, { stdio: 'inherit', env });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  return await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

// Temporal and FerretDB are Go programs: with memory to spare they need not collect garbage so often.
process.env.GOGC ??= '400';
const log = (line: string): void => console.error(line);
try {
  const files = await testFiles();
  await prepareServers({ log, timeSkipping: true });
  const servers = await startServers({ log, useEnvironment: false });
  try {
    const { temporal, mongo } = servers;
    const own = {
      TEST_TEMPORAL_ADDRESS: temporal.address,
      TEST_TEMPORAL_UI: temporal.uiUrl,
      TEST_MONGODB_URI: mongo.uri,
    };
    process.exitCode = await run(files, { ...process.env, ...own });
  } finally {
    await servers.stop();
  }
} catch (error) {
  console.error(`npm test: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
