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
    .option('--promote', 'make the version of this worker the current one: only the current version gets work')
    .option('--json', 'changes nothing: its log, on standard error, is JSON anyway')
    .action(async ({ promote = false, json }: Options) => {
      const { runWorker } = await import('../worker/run.ts');
      await runWorker({ promote });
      // The worker itself has told people.
      if (json && process.exitCode) print(json, { error: described(FAILED) }, () => '');
    });
}
