// npm run chaos: random commands over random faults and kills; is anything lost?
import { Command, InvalidArgumentError } from 'commander';
import type { Findings } from './findings.ts';
import { type ChaosReport, runChaos } from './run.ts';

interface Options {
  policies: number;
  minutes: number;
  seed: number;
}

const program = new Command('npm run chaos --')
  .description('random commands over faults and kill -9 of workers, Temporal and MongoDB: exit 0 when nothing is lost')
  .option('--policies <n>', 'how many policies', (text) => number(text, Number.isSafeInteger, 'a whole number'), 200)
  .option('--minutes <n>', 'for how long', (text) => number(text, Number.isFinite, 'a number'), 3)
  .option('--seed <n>', 'the same again by the same seed', whole, 1)
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2));

function number(text: string, fits: (value: number) => boolean, what: string): number {
  const value = Number(text);
  if (!fits(value) || value <= 0) throw new InvalidArgumentError(`Expected ${what} above 0.`);
  return value;
}

function whole(text: string): number {
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Expected a whole number of at most 9 digits.');
  return value;
}

const began = Date.now();
const say = (line: string): void => console.log(`${((Date.now() - began) / 1000).toFixed(0).padStart(4)} s  ${line}`);

const PROMISES: Record<keyof Findings, string> = {
  lost: 'lost: WeChat Pay holds something else than was decided',
  illegal: 'illegal: refused by the strict sandbox',
  overlapping: 'overlapping calls of one policy',
  unverified: 'unverified successes',
  deaf: 'deaf: the next message, once all was over, was not taken',
  unexpected: 'commands answered otherwise than by the model',
};
const MOST_SHOWN = 10;

function print({ findings, counts, faults, kills, requests, directory, evidence, ...report }: ChaosReport): boolean {
  const list = (of: Record<string, number>): string =>
    Object.entries(of)
      .map(([what, count]) => `${what} ${count}`)
      .join(', ');
  const { sent, again, retries, signals, flood, ...outcomes } = counts;
  const { resets, flooded, fresh, resumed } = report;
  const injected = Object.values(faults).reduce((sum, count) => sum + count, 0);
  console.log(`
policies    ${evidence.wanted.size}, of which ${resumed} had backed off and were told to resume in the end
commands    ${sent} sent: ${list(outcomes)}, ${signals} signals; ${again} sent twice, ${retries} again for want of an answer
faults      ${injected}: ${list(faults)}
kill -9     ${list(kills)}
resets      ${resets} workflows
floods      ${flood} messages without effect to ${flooded} policies, ${fresh} of which went over into a fresh run
requests    ${list(requests)}
log         ${directory}
`);
  for (const [name, what] of Object.entries(PROMISES) as [keyof Findings, string][]) {
    const found = findings[name];
    console.log(`${found.length === 0 ? 'PASS' : 'FAIL'}  ${what}: ${found.length}`);
    for (const one of found.slice(0, MOST_SHOWN)) console.log(`        ${one.number}: ${one.what}`);
  }
  return Object.values(findings).every(({ length }) => length === 0);
}

const { policies, minutes, seed } = program.parse().opts<Options>();
try {
  process.exitCode = print(await runChaos({ policies, minutes, seed, log: say })) ? 0 : 1;
} catch (error) {
  console.error(`npm run chaos: ${error instanceof Error ? error.message : String(error)}`);
  // Kills and commands that were to come still wait for their time.
  process.exit(1);
}
