// npm run bench: every bench, or those named, and a table of what they found.
import { Argument, Command, InvalidArgumentError } from 'commander';
import type { Bench, BenchOptions, Size } from './bench.ts';
import { build } from './built.ts';
import { call } from './call.ts';
import { history } from './history.ts';
import { latency } from './latency.ts';
import { life } from './life.ts';
import { openLatency } from './open_latency.ts';
import { policyMemory } from './policy_memory.ts';
import { start } from './start.ts';
import { type Found, onScreen } from './table.ts';

const BENCHES: readonly Bench[] = [life, policyMemory, openLatency, start, history, call, latency];

interface Options {
  quick?: boolean;
  full?: boolean;
  policies?: number[];
  built?: boolean;
}

const program = new Command('npm run bench --')
  .description('what the engine costs, each figure beside a peer of the same run')
  .addArgument(new Argument('[names...]', 'benches; all without').choices(BENCHES.map(({ name }) => name)))
  .addHelpText('after', `\nBenches:\n${BENCHES.map(({ name, about }) => `  ${name.padEnd(14)} ${about}`).join('\n')}`)
  .option('--quick', 'small versions of some')
  .option('--full', 'as large as it gets: for hours')
  .option('--policies <numbers>', 'how many, in place of the usual; of `fleet` several, joined by commas', numbers)
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

const began = Date.now();
const say = (line: string): void => console.log(`${((Date.now() - began) / 1000).toFixed(0).padStart(4)} s  ${line}`);

const size: Size = options.full ? 'full' : options.quick ? 'quick' : 'usual';
const given: BenchOptions = { size, say, ...(options.policies && { policies: options.policies }) };
const chosen = BENCHES.filter(({ name }) => names.length === 0 || names.includes(name));
if (!options.built) await build();
const found: Found[] = [];
for (const bench of chosen) {
  say(`${bench.name}: ${bench.about}`);
  const from = Date.now();
  try {
    found.push({ bench, findings: await bench.run(given), seconds: (Date.now() - from) / 1000 });
  } catch (error) {
    console.error(`npm run bench: ${bench.name}:`, error);
    process.exitCode = 1;
  }
}
console.log(onScreen(found));
