// npm run bench: every bench, or those named, and a table of what they found.
import { readFile, writeFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Argument, Command, InvalidArgumentError } from 'commander';
import type { Bench, BenchOptions, Size } from './bench.ts';
import { build } from './built.ts';
import { call } from './call.ts';
import { fleet } from './fleet.ts';
import { history } from './history.ts';
import { latency } from './latency.ts';
import { life } from './life.ts';
import { openLatency } from './open_latency.ts';
import { policyMemory } from './policy_memory.ts';
import { fallen, keepRatios, keptRatios } from './ratios.ts';
import { start } from './start.ts';
import { type Found, inDocument, onScreen } from './table.ts';
import { twoWorkers } from './two_workers.ts';
import { verifyStorm } from './verify_storm.ts';

const BENCHES: readonly Bench[] = [
  ...[life, policyMemory, fleet, call, history, latency],
  ...[openLatency, verifyStorm, start, twoWorkers],
];
/** Short ones, whose ratios move least from run to run. */
const QUICK: readonly Bench[] = [life, call, history, start];

const AGAIN = 2;

const JSON_FILE = pathOf('../out/bench.json');
const DOCUMENT = pathOf('../docs/performance.md');

interface Options {
  quick?: boolean;
  keep?: boolean;
  full?: boolean;
  policies?: number[];
  memory?: number;
  built?: boolean;
}

const program = new Command('npm run bench --')
  .description('what the engine costs, each figure beside a peer or a limit of the same run')
  .addArgument(new Argument('[names...]', 'benches; all without').choices(BENCHES.map(({ name }) => name)))
  .addHelpText('after', `\nBenches:\n${BENCHES.map(({ name, about }) => `  ${name.padEnd(14)} ${about}`).join('\n')}`)
  .option('--quick', 'small versions of some; exit 1 when a ratio is worse by a third than in bench/ratios.json')
  .option('--keep', 'with --quick: writes bench/ratios.json anew')
  .option('--full', 'as large as it gets: for hours')
  .option('--policies <numbers>', 'how many, in place of the usual; of `fleet` several, joined by commas', numbers)
  .option('--memory <MB>', 'of `fleet`: what the heap of the worker may grow to (--max-old-space-size)', megabytes)
  .option('--built', 'takes what was built before as it is')
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2));
const names = program.parse().args;
const options = program.opts<Options>();

function numbers(text: string): number[] {
  return text.split(',').map((part) => {
    const value = Number(part);
    if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('Expected whole numbers from 1 on.');
    return value;
  });
}

function megabytes(text: string): number {
  const [value = 0] = numbers(text);
  return value;
}

function pathOf(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}

const began = Date.now();
const say = (line: string): void => console.log(`${((Date.now() - began) / 1000).toFixed(0).padStart(4)} s  ${line}`);

/** One that fails keeps no other from being run. */
async function runAll(benches: readonly Bench[], given: BenchOptions): Promise<Found[]> {
  const found: Found[] = [];
  for (const bench of benches) {
    say(`${bench.name}: ${bench.about}`);
    const from = Date.now();
    try {
      found.push({ bench, findings: await bench.run(given), seconds: (Date.now() - from) / 1000 });
    } catch (error) {
      console.error(`npm run bench: ${bench.name}:`, error);
      process.exitCode = 1;
    }
  }
  return found;
}

/** For programs; in the document too, where every bench was run as usual. */
async function write(found: readonly Found[], size: Size): Promise<void> {
  const [first] = cpus();
  const machine = `${cpus().length} × ${first?.model}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Node ${process.versions.node}`;
  const at = new Date().toISOString();
  const benches = found.map(({ bench: { name, about }, findings, seconds }) => ({ name, about, seconds, ...findings }));
  await writeFile(JSON_FILE, `${JSON.stringify({ at, machine, size, benches }, null, 2)}\n`);
  if (size !== 'usual' || found.length < BENCHES.length || options.policies || options.memory) return;
  const minutes = ((Date.now() - began) / 60_000).toFixed(0);
  const head = `Measured on ${at.slice(0, 10)} in ${minutes} minutes: ${machine}, all servers on it.`;
  await writeFile(DOCUMENT, inDocument(await readFile(DOCUMENT, 'utf8'), found, head));
}

/** Ratios that fell, and again when measured anew: what else a machine does may hit one of two peers. */
async function stillFallen(first: readonly Found[], given: BenchOptions): Promise<string[]> {
  let [found, kept] = [first, await keptRatios()];
  let left = fallen(found, kept);
  for (let again = AGAIN; again > 0 && left.length > 0; again--) {
    for (const line of left) say(`${line}: once more`);
    kept = Object.fromEntries(
      Object.entries(kept).filter(([name, before]) => fallen(found, { [name]: before }).length > 0),
    );
    const fell = Object.keys(kept);
    found = await runAll(
      QUICK.filter(({ name }) => fell.some((ratio) => ratio.startsWith(`${name}/`))),
      given,
    );
    left = fallen(found, kept);
  }
  return left;
}

async function main(): Promise<void> {
  const size: Size = options.full ? 'full' : options.quick ? 'quick' : 'usual';
  const from = options.quick && names.length === 0 ? QUICK : BENCHES;
  const chosen = from.filter(({ name }) => names.length === 0 || names.includes(name));
  if (!options.built) await build();
  const { policies, memory } = options;
  const found = await runAll(chosen, { size, say, ...(policies && { policies }), ...(memory && { memory }) });
  console.log(onScreen(found));
  await write(found, size);
  if (from !== QUICK) return;
  if (options.keep) await keepRatios(found);
  for (const line of await stillFallen(found, { size, say })) {
    console.error(`npm run bench: ${line}`);
    process.exitCode = 1;
  }
}

await main();
