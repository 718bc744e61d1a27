// npm test: finds, fetches or builds the servers, shares one Temporal and one MongoDB among the test files, and runs
// them, but for the long ones (*.long.test.ts). With arguments, the test files whose names contain one of them, long ones
// too. `npm run test:all` runs every file, `npm run test:all -- --rest` those that `npm test` leaves out.
// `--test-name-pattern=PATTERN` runs the tests of that name only. With `--again`, as in CI, files of which a test failed are run once
// more, without the others: those that pass then are named as UNSTEADY, and the run has passed. It is a fault to be mended all the same.
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
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

/** What they measure takes a machine with nothing else to do: they come after all others. */
const ALONE = ['learned_rates.long.test.ts'];

const folder = fileURLToPath(new URL('.', import.meta.url));
const given = process.argv.slice(2);
const patterns = given.filter((argument) => argument.startsWith('--test-name-pattern='));
const wanted = given.filter((argument) => !argument.startsWith('--'));
const [all, rest, again] = ['--all', '--rest', '--again'].map((option) => given.includes(option));
const unknown = given.find(
  (word) => word.startsWith('--') && !patterns.includes(word) && !/^--(all|rest|again)$/.test(word),
);
/** More than so many files do not fail by chance, on the slowest machine. */
const MOST_AGAIN = 8;
/** Long tests work more than they wait: they start servers, workers and browsers of their own. What failed has little beside it. */
const [LONG_PROCESSES, AGAIN_PROCESSES] = ['4', '2'];

function isChosen(file: string): boolean {
  if (wanted.length > 0) return wanted.some((part) => file.includes(part));
  const isLong = file.endsWith('.long.test.ts');
  return rest ? isLong : all || !isLong;
}

async function testFiles(): Promise<string[]> {
  if (unknown)
    throw new Error(`unknown option ${unknown}: --all, --rest, --again and --test-name-pattern=PATTERN are known`);
  const files = (await readdir(folder)).filter((file) => file.endsWith('.test.ts')).sort();
  const chosen = files.filter(isChosen);
  if (chosen.length === 0) throw new Error(`no test file is named like ${wanted.join(' or ')}; see test/`);
  const first = FIRST.map((name) => `${name}.test.ts`).filter((file) => chosen.includes(file));
  return [...new Set([...first, ...chosen])].map((file) => join(folder, file));
}

let interrupted = false;

/** The exit code: another than 0 where a part failed. */
async function runParts(files: string[], env: NodeJS.ProcessEnv): Promise<number> {
  const isAlone = (file: string): boolean => ALONE.includes(basename(file));
  const together = files.filter((file) => !isAlone(file));
  const parts = [together, ...files.filter(isAlone).map((file) => [file])].filter(({ length }) => length > 0);
  let code = 0;
  for (const part of parts) code = (interrupted ? 1 : await (again ? runAgain : run)(part, env)) || code;
  return code;
}

async function run(files: string[], env: NodeJS.ProcessEnv): Promise<number> {
  const before = ['tsx', new URL('./assert_ok.mjs', import.meta.url).href].flatMap((name) => ['--import', name]);
  const args = [...before, join(folder, 'run_files.ts'), ...patterns, ...files];
  const child = spawn(process.execPath, args, { stdio: 'inherit', env });
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => {
      interrupted = true;
      child.kill(signal);
    });
  return await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => resolve(code ?? 1));
  });
}

/** @returns the exit code; with `--again` that of the second run, where one was worth it */
async function runAgain(files: string[], env: NodeJS.ProcessEnv): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'policy-sync-failed-'));
  try {
    const told = join(directory, 'failed.json');
    const code = await run(files, { ...env, TEST_FAILED: told });
    const names = JSON.parse(await readFile(told, 'utf8').catch(() => '[]')) as string[];
    const failed = files.filter((file) => names.includes(basename(file)));
    if (code === 0 || interrupted || failed.length === 0) return code;
    if (failed.length !== names.length || failed.length > MOST_AGAIN) return code;
    console.error(`failed, and run once more, without the others: ${names.join(', ')}`);
    const second = await run(failed, { ...env, TEST_PROCESSES: AGAIN_PROCESSES });
    if (second === 0) console.error(`UNSTEADY: passed the second time only: ${names.join(', ')}`);
    return second;
  } finally {
    await rm(directory, { recursive: true });
  }
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
      ...(rest && { TEST_PROCESSES: LONG_PROCESSES }),
      TEST_TEMPORAL_ADDRESS: temporal.address,
      TEST_TEMPORAL_UI: temporal.uiUrl,
      TEST_MONGODB_URI: mongo.uri,
    };
    process.exitCode = await runParts(files, { ...process.env, ...own });
  } finally {
    await servers.stop();
  }
} catch (error) {
  console.error(`npm test: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
