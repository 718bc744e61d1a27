import type { Command } from 'commander';
import { described } from './error_text.ts';
import { print } from './output.ts';

interface Options {
  promote?: boolean;
  json?: boolean;
}

const FAILED = new Error('the worker could not run: standard error says why');

export function addWorker(program: Command): void {
  program
    .command('worker')
    .description('run a worker, until it is asked to end')
    .option('--promote', 'make its version the current one, without which no version gets work')
    .option('--json', 'as it does without: its log, on standard error, is JSON')
    .action(async ({ promote = false, json }: Options) => {
      const { runWorker } = await import('../worker/run.ts');
      await runWorker({ promote });
      // The worker itself has told people.
      if (json && process.exitCode) print(json, { error: described(FAILED) }, () => '');
    });
}
